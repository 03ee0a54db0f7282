"""What `pkd run`, `pkd compress` and `pkd search` share: a flow that is run in this process, and what came of it."""

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cli.run_view import RunView
from pkd_core.errors import PkdError
from pkd_core.runtime.process_setup import configure_process
from pkd_core.store.os_errors import file_errors
from pkd_core.store.stage_store import StageStatus

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from pkd_core.config.run_options import RunOptions
    from pkd_core.pipeline.plan import Plan


def is_complete(plans: Sequence["Plan"], view: RunView) -> bool:
    """Return whether neither a stage of some plans nor anything that MLflow holds of one is missing."""
    if any(plan.todo for plan in plans):
        return False
    from tasks.completeness import find_incomplete

    with view.waiting("looking whether MLflow is complete"):
        return not any(find_incomplete(plan) for plan in plans)


def begin_stages(plan: "Plan", view: RunView) -> None:
    """Let a view show a plan's stages from now on, of which some are done."""
    done = [one.stage.key for one in plan.stages if one.status is StageStatus.DONE]
    view.begin(len(plan.stages), done)


@contextmanager
def running_flow(options: "RunOptions", workspace: Path, view: RunView) -> Iterator[None]:
    """Have what a flow needs while the body runs it: a Prefect server, and an end to a process that cannot go on.

    Raises:
        PkdError: The run cannot be placed as its options say, or a cluster's workers do not reach the server.
    """
    from flows.crashes import ending_at_crashes
    from flows.dead_threads import ending_at_dead_threads

    with ending_at_crashes(), ending_at_dead_threads(), _prefect_server(options, workspace, view):
        yield


def failure_of(state: "State[Any]") -> PkdError | None:
    """Return what ended a flow run, if it did not complete."""
    return None if state.is_completed() else PkdError(state.message or state.name)


@contextmanager
def _prefect_server(options: "RunOptions", workspace: Path, view: RunView) -> Iterator[None]:
    """Let Prefect use the running server while the body runs, or one that is started for it.

    Raises:
        PkdError: The run cannot be placed as its options say, or a cluster's workers do not reach the server.
    """
    from flows.placement.check import check_placement
    from flows.service.find_server import find_server
    from flows.service.own_server import own_server
    from flows.service.reached_server import listening_for, server_for

    check_placement(options, workspace)
    listening = listening_for(options.placement)
    server = server_for(options.placement, find_server(workspace))
    with ExitStack() as servers:
        if server is None:
            logs = workspace.resolve() / "artifacts" / "logs"
            view.message("no running Prefect server found: starting one for this run")
            with view.waiting("starting Prefect's server and loading libraries"):
                prepare = partial(_prepare_flow, workspace)
                servers.enter_context(own_server(logs, meanwhile=prepare, listening=listening))
        else:
            view.message(f"this run is shown at {server.removesuffix('/api')}")
            os.environ["PREFECT_API_URL"] = server
            home = Path(os.environ["PREFECT_HOME"])
            with file_errors("write", home):
                # Prefect itself makes no folder above it, and would warn of that.
                home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with view.waiting("loading libraries"):
                _prepare_flow(workspace)
        yield


def _prepare_flow(workspace: Path) -> None:
    """Do what the flow's first stage would wait for: seconds, in which Prefect's server starts."""
    configure_process()
    importlib.import_module("flows.pkd")
    from tasks.mlflow_store import ensure_store

    ensure_store(workspace)
