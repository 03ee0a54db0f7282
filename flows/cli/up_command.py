"""The options of `pkd up`: those of `pkd run`, which become the deployments' defaults, and two ports."""

from typing import Annotated

import typer

from flows.cli.options import takes_request
from flows.environment import prepare_environment
from flows.request import Request


@takes_request(default_all=True)
def up(
    request: Request,
    prefect_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Prefect server.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the MLflow UI.")] = 5000,
) -> None:
    """Start what `prefect deployment run pkd/full-glue` needs; the arguments become the deployment's defaults."""
    from flows.service.up import serve_until_stopped
    from pkd_core.data.glue import load_task

    prepare_environment(request.workspace)
    for task in request.run.tasks:
        load_task(task, request.workspace / "data_raw")
    serve_until_stopped(request, prefect_port, mlflow_port)
