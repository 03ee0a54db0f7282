"""`pkd deploy`, which registers the deployments of a work pool, and the command that its workers start."""

import os
from typing import Annotated

import typer

from flows.cli.options import takes_request
from flows.environment import prepare_environment
from flows.request import Request
from pkd_core.errors import ConfigError


@takes_request(default_all=True)
def deploy(
    request: Request,
    pool: Annotated[str, typer.Option(help="Name of the work pool, which exists on the Prefect server.")],
) -> None:
    """Let a work pool's workers run `pkd/full-glue`; the arguments become the deployment's defaults."""
    prepare_environment(request.workspace)
    from flows.service.find_server import find_server

    url = find_server(request.workspace)
    if url is None:
        raise ConfigError(
            "pkd deploy needs a Prefect server, and none answers; set PREFECT_API_URL to its address, and "
            "PREFECT_API_AUTH_STRING to its login."
        )
    os.environ["PREFECT_API_URL"] = url
    from flows.service.pool_deployments import register

    names = register(pool, request.parameters())
    typer.echo(f"registered {' and '.join(names)} on the work pool {pool}. This starts a run:\n")
    typer.echo(f"    prefect deployment run {names[0]} --watch")


def flow_run() -> None:
    """Run the flow run that a work pool's worker has started (the command of the pool's template)."""
    from flows.service.pool_run import run_from_pool

    run_from_pool()
