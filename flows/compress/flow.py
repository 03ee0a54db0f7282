"""The flow of `pkd compress`: find the depth, train its students, and hand over the best one.

Its name is `pkd`, as Prefect addresses a deployment by its flow's name: pkd/compress.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.runtime import deployment
from prefect.states import Completed

from flows.cli.quantities import duration
from flows.compress.form import compress_section, compress_signature
from flows.compress.prepare import Prepared, prepare_compression
from flows.compress.request import CompressRequest
from flows.compress.survey import survey_compression
from flows.flow_process import end_in_sentence, set_up_process
from flows.pages import show_report
from flows.rounds.builder import PlanBuilder
from flows.rounds.running import run_rounds
from flows.run_name import compression_name
from flows.service.root import check_below_root
from flows.workspace import given_workspace
from pkd_core.pipeline.compress import run_compression
from pkd_core.pipeline.compress_forecast import seconds_to_go, trains
from pkd_core.pipeline.compress_output import hand_over
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.plan import Plan
from pkd_core.store.address import StageRecord
from tasks.progress import ShowStage, show_in_log

logger = logging.getLogger(__name__)
_REMEDY = "run again, or change what the sentence names"


def build_compress_flow(
    make: Callable[[CompressRequest], Prepared] = prepare_compression,
    show: ShowStage = show_in_log,
    begin: Callable[[Plan], None] = lambda _: None,
) -> Flow[..., State[Any]]:
    """Return the flow of a compression.

    Args:
        make: Prepares it; `pkd compress` has done so already, and passes it on.
        show: Shows each stage while it is being built.
        begin: Called with each plan before its stages are built.
    """

    def pkd_compress(**parameters: Any) -> State[Any]:
        """Make a small, fast classifier of your own, computing only what is not done."""
        return _run(parameters, make, show, begin)

    pkd_compress.__signature__ = compress_signature()  # type: ignore[attr-defined]
    pkd_compress.__doc__ = f"{pkd_compress.__doc__}\n\n{compress_section()}"
    return flow(name="pkd", flow_run_name=compression_name, validate_parameters=False)(pkd_compress)


def _run(
    parameters: Mapping[str, Any],
    make: Callable[[CompressRequest], Prepared],
    show: ShowStage,
    begin: Callable[[Plan], None],
) -> State[Any]:
    def work() -> State[Any]:
        asked = CompressRequest.build(parameters, given_workspace(parameters))
        set_up_process(asked.workspace)
        if deployment.id and asked.out is not None:
            check_below_root(asked.out, "an output folder")
        prepared = make(asked)
        return run_rounds(
            lambda builder: _compress(prepared, asked, builder),
            asked.recorded(prepared.data.task),
            asked.options,
            asked.workspace,
            show,
            begin,
            _REMEDY,
        )

    return end_in_sentence(work)


def _compress(prepared: Prepared, asked: CompressRequest, builder: PlanBuilder) -> State[Any]:
    # What an earlier start has made stays recorded while this one follows it.
    builder.record.add(*survey_compression(prepared.run).plans)

    def build(plan: Plan, known: Mapping[str, StageRecord]) -> Mapping[str, StageRecord]:
        if trains(plan):
            _forecast(plan, prepared, builder)
        return builder.build(plan, known)

    outcome = run_compression(prepared.run, build, logger.info)
    show_report(asked.workspace, outcome.report)
    if asked.out is not None:
        hand_over(asked.workspace, outcome, asked.out)
    return Completed(
        message=f"{outcome.student.key} is the best on dev, {builder.num_built} stages were built."
    )


def _forecast(plan: Plan, prepared: Prepared, builder: PlanBuilder) -> None:
    """Log how long the trainings will take, which needs their tokens."""
    tokens = tuple(one for one in plan.stages if one.stage.kind is StageKind.TOKENS)
    builder.build(replace(plan, stages=tokens), {})
    seconds = seconds_to_go(plan, prepared.run.amounts.num_transfer, builder.options.device)
    logger.info("the trainings will take %s; then come exports and timing", duration(seconds))


pkd_compress = build_compress_flow()
