"""`pkd search`: shows what a search will do, runs it, and shows what it has found."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from flows.cli.in_process import begin_stages, failure_of, is_complete, running_flow
from flows.cli.listing import show_json, show_rows, show_text
from flows.cli.log_lines import Amount
from flows.cli.run_view import RunView, viewing_run
from flows.latest_report import record_latest
from flows.limits import check_limits
from flows.search.prepare import prepare_search
from flows.search.request import SearchRequest
from flows.search.sampler import sampler_for
from flows.stopping import ending_at_signals, received_signal, report_stopped
from flows.workspace import as_typed
from pkd_core.config.command import run_command
from pkd_core.report.search_results import best_round
from pkd_core.store.catalog import local_copy
from pkd_core.store.os_errors import file_errors

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from flows.search.survey import Survey
    from pkd_core.pipeline.search import SearchOutcome
    from pkd_core.pipeline.search_plan import Search


def preview_search(asked: SearchRequest, as_json: bool) -> None:
    """Show what a search will train, and what of it is there.

    Raises:
        PkdError: The search cannot begin.
    """
    survey = _survey(prepare_search(asked), check=True)
    if as_json:
        show_json(_json(survey))
    else:
        _show_survey(survey)


def search(asked: SearchRequest, amount: Amount) -> None:
    """Run what is not done of a search in this process, and show what it has found.

    Raises:
        PkdError: The search cannot begin, or some of it failed.
    """
    check_limits()
    with ending_at_signals(), viewing_run(amount) as view:
        with view.waiting("checking data and model, and looking up what is done"):
            prepared = prepare_search(asked)
            survey = _survey(prepared, check=True)
        view.message("\n".join(_lines(survey)))
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
    assert survey.outcome is not None, "a search without a failure has an outcome"
    _show_outcome(asked, prepared, survey.outcome)


def _survey(prepared: "Search", check: bool = False) -> "Survey":
    from flows.prepare import check_data
    from flows.search.survey import survey_search

    survey = survey_search(prepared, sampler_for(prepared))
    if check:
        for plan in survey.plans:
            check_data(plan)
    return survey


def _record_again(asked: SearchRequest, prepared: "Search", survey: "Survey") -> None:
    """Record what a search whose stages are all done records."""
    assert survey.outcome is not None
    with asked.recorded() as record:
        record.add(*survey.plans)
        record_latest(asked.workspace, survey.outcome.report)


def _compute(asked: SearchRequest, prepared: "Search", view: RunView) -> "State[Any]":
    """Run the flow in this process, and return its final state."""
    with running_flow(asked.request.options, asked.workspace, view):
        from flows.search.flow import build_search_flow

        flow = build_search_flow(lambda _: prepared, view.stage, lambda plan: begin_stages(plan, view))
        state: State[Any] = flow(**asked.parameters(), return_state=True)
    return state


def _show_survey(survey: "Survey") -> None:
    headings = ("round", "points", "trainings", "done")
    rows = [
        [
            part.name,
            str(part.num_points),
            str(part.num_trainings),
            "known later" if part.num_done is None else str(part.num_done),
        ]
        for part in survey.parts
    ]
    show_rows(headings, rows, num_names=1, right=headings[1:])
    show_text(_lines(survey)[-1])


def _lines(survey: "Survey") -> list[str]:
    total = sum(part.num_trainings for part in survey.parts)
    done = sum(part.num_done or 0 for part in survey.parts)
    unknown = any(part.num_done is None for part in survey.parts)
    rounds = ", ".join(f"{part.name} {part.num_points}" for part in survey.parts[:-1])
    more = "; later rounds are looked up when the ones before them have chosen" if unknown else ""
    return [f"points: {rounds}", f"{total} trainings, of which {done} are done{more}"]


def _json(survey: "Survey") -> dict[str, Any]:
    parts: Sequence[Any] = survey.parts
    return {
        "rounds": [
            {
                "name": part.name,
                "num_points": part.num_points,
                "num_trainings": part.num_trainings,
                "num_done": part.num_done,
            }
            for part in parts
        ],
        "num_trainings": sum(part.num_trainings for part in parts),
        "is_done": survey.outcome is not None,
    }


def _show_outcome(asked: SearchRequest, prepared: "Search", outcome: "SearchOutcome") -> None:
    folder = local_copy(asked.workspace / outcome.search_report.path)
    with file_errors("read", folder):
        typer.echo("\n" + (folder / "search.txt").read_text(encoding="utf-8", errors="replace"))
    best = best_round([one for one in outcome.rounds if one.method in prepared.run.methods])
    run = prepared.run_of(best.method, best.settings)
    place = "" if asked.workspace == Path() else f" --workspace {shlex.quote(as_typed(asked.workspace))}"
    typer.echo(f"best: {best.method}. This repeats it, and trains nothing again:\n")
    typer.echo(f"    {run_command(run, run.model, run.student_model)}{place}\n")
    typer.echo(f"report: {folder / 'search.md'} (and search.json, search.png)")
    typer.echo(
        f"dev scores: {local_copy(asked.workspace / outcome.report.path) / 'report.md'} (`pkd report` shows them)"
    )
