"""The flow `pkd-search`: rounds of trainings, each planned from what the one before it has chosen."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.flow_process import end_in_sentence, set_up_process
from flows.form import parameters_section, search_signature
from flows.pages import show_report, show_search
from flows.rounds.builder import PlanBuilder
from flows.rounds.running import run_rounds
from flows.run_name import run_name
from flows.search.prepare import prepare_search
from flows.search.request import SearchRequest
from flows.search.sampler import sampler_for
from flows.search.survey import survey_search
from flows.workspace import given_workspace
from pkd_core.config.search import describe_point
from pkd_core.pipeline.plan import Plan
from pkd_core.pipeline.search import run_search
from pkd_core.pipeline.search_plan import Search
from pkd_core.report.search_results import TriedRound
from tasks.progress import ShowStage, show_in_log

logger = logging.getLogger(__name__)
_REMEDY = "run again, or give other values to search"


def build_search_flow(
    make_search: Callable[[SearchRequest], Search] = prepare_search,
    show: ShowStage = show_in_log,
    begin: Callable[[Plan], None] = lambda _: None,
) -> Flow[..., State[Any]]:
    """Return the flow `pkd-search`.

    Args:
        make_search: Prepares the search; `pkd search` has done so already, and passes it on.
        show: Shows each stage while it is being built.
        begin: Called with each plan before its stages are built.
    """

    def pkd_search(**parameters: Any) -> State[Any]:
        """Search the best settings of each method for one task, training only what is not done."""
        return _run(parameters, make_search, show, begin)

    pkd_search.__signature__ = search_signature()  # type: ignore[attr-defined]
    pkd_search.__doc__ = f"{pkd_search.__doc__}\n\n{parameters_section()}"
    return flow(name="pkd-search", flow_run_name=run_name, validate_parameters=False)(pkd_search)


def _run(
    parameters: Mapping[str, Any],
    make_search: Callable[[SearchRequest], Search],
    show: ShowStage,
    begin: Callable[[Plan], None],
) -> State[Any]:
    def work() -> State[Any]:
        asked = SearchRequest.build(parameters, given_workspace(parameters))
        set_up_process(asked.workspace)
        search = make_search(asked)
        return run_rounds(
            lambda builder: _search(search, asked, builder),
            asked.recorded(),
            asked.request.options,
            asked.workspace,
            show,
            begin,
            _REMEDY,
        )

    return end_in_sentence(work)


def _search(search: Search, asked: SearchRequest, builder: PlanBuilder) -> State[Any]:
    # What an earlier start has made stays recorded while this one follows it.
    builder.record.add(*survey_search(search, sampler_for(search)).plans)
    assert builder.record.path is not None, "a search has a first plan"
    outcome = run_search(search, builder.build, sampler_for(search, builder.record.path), _log_round)
    show_report(asked.workspace, outcome.report)
    show_search(asked.workspace, outcome.search_report)
    return Completed(message=f"{len(outcome.rounds)} rounds done, {builder.num_built} stages were built.")


def _log_round(one: TriedRound) -> None:
    chosen = describe_point(one.best.settings)
    logger.info(
        "%s: the best of %d points is %s", one.method, len(one.points), chosen or "that of the preset"
    )


pkd_search = build_search_flow()
