"""The serving process: registers the deployment `full-glue` and runs it at each request, until stopped.

`pkd up` starts it as `python -m flows.service.serve PARAMETERS`, with the deployment's default parameters as JSON.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from flows.pkd import pkd
from flows.service.answers import answers
from flows.service.processes import SECONDS_TO_START
from flows.service.root import ROOT_VARIABLE
from flows.service.services import DEPLOYMENT


def serve(parameters: Mapping[str, Any]) -> None:
    """Wait for the server, then serve the flow.

    Prefect runs a flow that it is given as an object in a new process, which imports the current source, and never
    reads from its server what to run: with a flow that is loaded from a source, whoever may write to the server could
    put commands into the deployment's pull steps, its entrypoint or its path.

    Args:
        parameters: The deployment's default parameters. Their workspace is the one below which it works.
    """
    os.environ[ROOT_VARIABLE] = parameters["workspace"]
    deadline = time.monotonic() + SECONDS_TO_START
    while not answers(f"{os.environ['PREFECT_API_URL']}/health") and time.monotonic() < deadline:
        time.sleep(0.25)
    pkd.serve(
        name=DEPLOYMENT,
        parameters=dict(parameters),
        limit=1,
        print_starting_message=False,
        description="Every GLUE task: tokens, teacher, teacher states, students, evaluations, report.",
    )


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
