"""`pkd compress`: shows what is in the data and what will be computed, computes it, and shows what came of it."""

import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from flows.cli import display
from flows.cli.compression_view import show_compression
from flows.cli.first_look import first_look
from flows.cli.in_process import begin_stages, failure_of, is_complete, running_flow
from flows.cli.listing import show_json, show_text
from flows.cli.log_lines import Amount
from flows.cli.plan_command import json_stages, show_stages
from flows.cli.run_view import RunView, viewing_run
from flows.compress.prepare import Prepared, prepare_compression
from flows.compress.request import CompressRequest
from flows.latest_report import record_latest
from flows.limits import check_limits
from flows.stopping import ending_at_signals, received_signal, report_stopped
from pkd_core.pipeline.bundles import BUNDLE, TRANSFORMERS
from pkd_core.store.catalog import local_copy

_TEXTS = ("some text", "another text")

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from flows.compress.survey import Survey
    from pkd_core.pipeline.compress import Compressed
    from pkd_core.pipeline.plan import Plan


def preview_compression(asked: CompressRequest, as_json: bool) -> None:
    """Show the first look at the data, and which stages a compression has, as far as that is known.

    The data are not kept: a task of their name, which a compression may be reading, stays as it is.

    Raises:
        PkdError: The compression cannot begin.
    """
    with tempfile.TemporaryDirectory(prefix="pkd-plan-") as folder:
        prepared = prepare_compression(asked, Path(folder))
        _show_plan(asked, prepared, as_json)


def _show_plan(asked: CompressRequest, prepared: Prepared, as_json: bool) -> None:
    survey = _survey(prepared)
    if as_json:
        is_done = survey.outcome is not None
        stages = json_stages(survey.plans, asked.options.device)
        show_json({"task": prepared.data.task, "is_done": is_done} | stages)
        return
    if look := first_look(prepared.data):
        typer.echo(look)
    show_stages(survey.plans, asked.options.device)
    if survey.outcome is None:
        show_text("What comes after these stages is known when they are done.")


def compress(asked: CompressRequest, amount: Amount) -> None:
    """Compute what is not done of a compression in this process, and show what it has found.

    Raises:
        PkdError: The compression cannot begin, or some of it failed.
    """
    check_limits()
    with ending_at_signals(), viewing_run(amount) as view:
        with view.waiting("reading data and model, and looking up what is done"):
            prepared = prepare_compression(asked)
            survey = _survey(prepared)
        if look := first_look(prepared.data):
            view.message(look)
        if survey.outcome is not None and is_complete(survey.plans, view):
            view.message("nothing is to be computed")
            _record_again(asked, prepared, survey)
            failure = None
        else:
            failure = failure_of(_compute(asked, prepared, view))
            survey = _survey(prepared)
    if stopped := received_signal():
        raise typer.Exit(report_stopped(stopped))
    if failure is not None:
        raise failure
    assert survey.outcome is not None, "a compression without a failure has an outcome"
    _show_outcome(asked, prepared, survey.outcome)


def _survey(prepared: Prepared) -> "Survey":
    from flows.compress.survey import survey_compression

    return survey_compression(prepared.run)


def _record_again(asked: CompressRequest, prepared: Prepared, survey: "Survey") -> None:
    """Record what a compression whose stages are all done records, and complete its output folder."""
    from pkd_core.pipeline.compress_output import hand_over

    assert survey.outcome is not None
    with asked.recorded(prepared.data.task) as record:
        record.add(*survey.plans)
        record_latest(asked.workspace, survey.outcome.report)
        if asked.out is not None:
            hand_over(asked.workspace, survey.outcome, asked.out)


def _compute(asked: CompressRequest, prepared: Prepared, view: RunView) -> "State[Any]":
    """Run the flow in this process, and return its final state."""

    def begin(plan: "Plan") -> None:
        view.message(display.counts(plan))
        begin_stages(plan, view)

    with running_flow(asked.options, asked.workspace, view):
        from flows.compress.flow import build_compress_flow

        flow = build_compress_flow(lambda _: prepared, view.stage, begin)
        state: State[Any] = flow(**asked.parameters(), return_state=True)
    return state


def _show_outcome(asked: CompressRequest, prepared: Prepared, outcome: "Compressed") -> None:
    show_compression(local_copy(asked.workspace / outcome.folder(outcome.final.card)))
    typer.echo(
        f"all students: {local_copy(asked.workspace / outcome.report.path) / 'report.html'} (`pkd report` shows the "
        "table)"
    )
    if asked.out is not None:
        student, place = (
            asked.out / BUNDLE,
            f"{asked.out}: {TRANSFORMERS}, {BUNDLE}, README.md, compression.html",
        )
    else:
        student = local_copy(asked.workspace / outcome.folder(outcome.student))
        place = f"{student} (--out DIR copies it, its bundle without torch and the page into a folder of their own)"
    typer.echo(f"to deploy: {place}")
    columns = prepared.run.inputs.tasks[prepared.data.task].text_columns
    texts = " ".join(f'"{text}"' for text in _TEXTS[: len(columns)])
    typer.echo(f"\npkd predict {shlex.quote(str(student))} {texts}")
