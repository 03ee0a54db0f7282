"""The serving process: registers the deployment `full-glue` and runs it at each request, until stopped.

`pkd up` starts it as `python -m flows.service.serve PARAMETERS`, with the deployment's default parameters as JSON.
"""

import json
import os
import sys
import time
from pathlib import Path

from prefect import flow

from flows.environment import answers
from flows.service.processes import SECONDS_TO_START

DEPLOYMENT = "full-glue"


def serve(parameters: str) -> None:
    """Wait for the server, then serve the flow from its source, so that the next run uses edited code.

    Args:
        parameters: The deployment's default parameters, as a JSON object.
    """
    deadline = time.monotonic() + SECONDS_TO_START
    while not answers(f"{os.environ['PREFECT_API_URL']}/health") and time.monotonic() < deadline:
        time.sleep(0.25)
    root = Path(__file__).resolve().parents[2]
    served = flow.from_source(source=str(root), entrypoint="flows/pkd.py:pkd")
    served.serve(  # type: ignore[union-attr]
        name=DEPLOYMENT,
        parameters=json.loads(parameters),
        limit=1,
        print_starting_message=False,
        description="Every GLUE task: tokens, teacher, teacher states, students, evaluations, report.",
    )


if __name__ == "__main__":
    serve(sys.argv[1])
