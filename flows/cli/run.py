"""Runs what `pkd run` and `pkd demo` ask for: checks it, finds or starts Prefect's server, and shows the report."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from flows.cli import display
from flows.latest_report import latest_report
from flows.limits import check_limits
from flows.request import Request
from flows.stopping import ending_at_signals, received_signal, report_stopped
from pkd_core.errors import PkdError
from pkd_core.runtime.process_setup import configure_process


def set_up_process() -> None:
    """Check the limits of this process and set it up, before anything of a run is imported.

    Raises:
        ResourceError: A limit of the operating system is too low.
    """
    check_limits()
    configure_process()


def run_request(request: Request, next_steps: str = "") -> None:
    """Check everything that can be checked, then run the flow in this process and show its report.

    Args:
        request: The run.
        next_steps: Shown after the report.

    Raises:
        PkdError: The run cannot begin, or some of it failed.
    """
    from flows.crashes import ending_at_crashes
    from flows.dead_threads import ending_at_dead_threads
    from flows.prepare import check_data, prepare

    planned = prepare(request)
    check_data(planned)
    display.show_counts(planned)
    before = latest_report(request.workspace)
    with (
        ending_at_signals(),
        ending_at_crashes(),
        ending_at_dead_threads(),
        _prefect_server(request.workspace),
    ):
        from flows.pkd import build_flow

        flow = build_flow(lambda _: planned)
        state = flow(**request.parameters(), return_state=True)
    if stopped := received_signal():
        raise typer.Exit(report_stopped(stopped))
    folder = latest_report(request.workspace)
    # A run that failed before any evaluation has no report; the latest one is then an older run's.
    if folder is not None and (state.is_completed() or folder != before):
        display.show_report(folder)
    typer.echo(next_steps)
    if not state.is_completed():
        raise PkdError(state.message or state.name)


@contextmanager
def _prefect_server(workspace: Path) -> Iterator[None]:
    """Let Prefect use the running server while the body runs, or one that is started for it."""
    from flows.service.find_server import find_server
    from flows.service.own_server import own_server

    server = find_server(workspace)
    display.show_server(server)
    if server is None:
        with own_server(workspace.resolve() / "artifacts" / "logs"):
            yield
    else:
        os.environ["PREFECT_API_URL"] = server
        yield
