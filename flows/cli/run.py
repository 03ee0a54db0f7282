"""Runs what `pkd run` and `pkd demo` ask for: checks it, computes what is not done, and shows the report."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from flows.best import describe_best
from flows.cli import display
from flows.cli.in_process import begin_stages, failure_of, is_complete, running_flow
from flows.cli.log_lines import Amount
from flows.cli.run_view import RunView, viewing_run
from flows.latest_report import latest_report, record_latest
from flows.limits import check_limits
from flows.request import Request
from flows.run_file import run_file, write_run_file
from flows.stopping import ending_at_signals, received_signal, report_stopped
from pkd_core.errors import ConfigError
from pkd_core.pipeline.kinds import StageKind
from pkd_core.store.catalog import published_manifest
from pkd_core.store.stage_store import StageStore

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from pkd_core.pipeline.plan import Plan


def amount(quiet: bool, verbose: bool) -> Amount:
    """Return how much `--quiet` and `--verbose` ask for.

    Raises:
        ConfigError: Both are given.
    """
    if quiet and verbose:
        raise ConfigError("--quiet and --verbose exclude each other; give one of them.")
    if quiet:
        return Amount.QUIET
    return Amount.VERBOSE if verbose else Amount.NORMAL


def run_request(
    make_request: Callable[[], Request],
    amount: Amount,
    next_steps: str = "",
    preparing: str = "checking data and model",
) -> None:
    """Check everything that can be checked, run what is not done in this process, and show the report.

    Args:
        make_request: Returns the run; may take seconds.
        amount: How much is written besides the report and errors.
        next_steps: Shown after the report of a run that succeeded.
        preparing: What `make_request` does, for whoever waits for it.

    Raises:
        PkdError: The run cannot begin, or some of it failed.
    """
    check_limits()
    with ending_at_signals(), viewing_run(amount) as view:
        with view.waiting(preparing):
            request = make_request()
            planned = _plan(request)
        if planned.models.remark:
            view.message(planned.models.remark)
        view.message(display.counts(planned))
        before = latest_report(request.workspace)
        if is_complete([planned], view):
            view.message("nothing is to be computed")
            _record_again(request, planned)
            failure = None
        else:
            failure = failure_of(_compute(request, planned, view))
    if stopped := received_signal():
        raise typer.Exit(report_stopped(stopped))
    folder = latest_report(request.workspace)
    # A run that failed before any evaluation has no report; the latest one is then an older run's.
    if folder is not None and (failure is None or folder != before):
        display.show_report(folder)
        typer.echo(describe_best(request.workspace, folder))
    if failure is not None:
        raise failure
    if amount is not Amount.QUIET and next_steps:
        typer.echo(next_steps)


def _plan(request: Request) -> "Plan":
    from flows.prepare import check_data, prepare

    planned = prepare(request)
    check_data(planned)
    return planned


def _record_again(request: Request, planned: "Plan") -> None:
    """Record what a run of a complete plan records: what it refers to, and that its report is the latest."""
    report = planned.stages[-1].stage
    assert report.kind is StageKind.REPORT
    manifest = published_manifest(planned.workspace / report.address.folder)
    with planned.recorded() as record:
        write_run_file(request.parameters(), run_file(record))
        record_latest(planned.workspace, StageStore(planned.workspace).record(report.address, manifest))


def _compute(request: Request, planned: "Plan", view: RunView) -> "State[Any]":
    """Run the flow in this process, and return its final state."""
    begin_stages(planned, view)
    with running_flow(request.options, request.workspace, view):
        from flows.pkd import build_flow

        flow = build_flow(lambda _: planned, view.stage)
        state: State[Any] = flow(**request.parameters(), return_state=True)
    return state
