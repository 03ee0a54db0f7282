"""The serving process: registers the deployments of all flows and runs them at each request, until stopped.

`pkd up` starts it as `python -m flows.service.serve PARAMETERS`, with the deployments' default parameters as JSON.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from prefect.exceptions import TerminationSignal
from prefect.runner import Runner

from flows.compress.flow import pkd_compress
from flows.compress.request import FIELDS
from flows.pkd import pkd
from flows.search.flow import pkd_search
from flows.service.answers import answers
from flows.service.processes import SECONDS_TO_START
from flows.service.root import ROOT_VARIABLE
from flows.service.services import COMPRESS_DEPLOYMENT, DEPLOYMENT, SEARCH_DEPLOYMENT
from flows.workspace import open_workspace


def serve(parameters: Mapping[str, Any]) -> None:
    """Wait for the server, then serve all flows, one run at a time.

    Prefect runs a flow that it is given as an object in a new process, which imports the current source, and never
    reads from its server what to run: with a flow that is loaded from a source, whoever may write to the server could
    put commands into the deployment's pull steps, its entrypoint or its path.

    Args:
        parameters: The deployments' default parameters. Their workspace is the one below which it works.
    """
    os.environ[ROOT_VARIABLE] = str(open_workspace(parameters["workspace"]))
    deadline = time.monotonic() + SECONDS_TO_START
    while not answers(f"{os.environ['PREFECT_API_URL']}/health") and time.monotonic() < deadline:
        time.sleep(0.25)
    runner = Runner(name=DEPLOYMENT, limit=1)
    # The one that `pkd up` waits for is registered last.
    runner.add_flow(
        pkd_search,
        name=SEARCH_DEPLOYMENT,
        parameters=search_parameters(parameters),
        description="One task: the best settings of each method, in the paper's rounds.",
    )
    runner.add_flow(
        pkd_compress,
        name=COMPRESS_DEPLOYMENT,
        parameters=compress_parameters(parameters),
        description="A file of texts and labels, and a classifier if there is one: a smaller and faster classifier.",
    )
    runner.add_flow(
        pkd,
        name=DEPLOYMENT,
        parameters=dict(parameters),
        description="Every GLUE task: tokens, teacher, teacher states, students, evaluations, report.",
    )
    with suppress(KeyboardInterrupt, TerminationSignal):
        asyncio.run(runner.start())


def search_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default parameters of searches: those of runs, without several tasks or depths."""
    several = {name for name in ("tasks", "student_layers") if len(parameters.get(name) or ()) > 1}
    return {name: value for name, value in parameters.items() if name not in several}


def compress_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default parameters of compressions: workspace, model and options, but no training of GLUE's tasks."""
    of_tasks = {"tasks", "methods", "student_layers", "seeds", "settings"}
    known = {*FIELDS, "workspace"} - of_tasks
    return {name: value for name, value in parameters.items() if name in known}


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
