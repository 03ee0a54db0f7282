"""The options of `pkd up`: those of `pkd run`, which become the deployments' defaults, and where its servers are."""

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
    host: Annotated[
        str, typer.Option(help="Address of this machine that both servers listen on.")
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option(help="Name by which other machines reach this one, if not by that address. Repeatable."),
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(
            help="Folder or s3://bucket/prefix for the files that MLflow's clients send to its server."
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option(help="Run the deployments on this machine; --no-serve starts the servers alone.")
    ] = True,
) -> None:
    """Start what `prefect deployment run pkd/full-glue` needs; the arguments become the deployment's defaults.

    For several machines: --host, and databases in Postgres by PREFECT_API_DATABASE_CONNECTION_URL and
    MLFLOW_BACKEND_STORE_URI (docs/cluster.md).
    """
    from flows.service.listening import listening_at
    from flows.service.up import Wanted, serve_until_stopped
    from pkd_core.data.glue import load_task
    from pkd_core.pipeline.task_data import bring_data

    prepare_environment(request.workspace)
    wanted = Wanted(prefect_port, mlflow_port, listening_at(host, name or []), artifacts, serve)
    bring_data(request.workspace, request.run.tasks if serve else ())
    for task in request.run.tasks if serve else ():
        load_task(task, request.workspace / "data_raw")
    serve_until_stopped(request, wanted)
