"""Runs rounds of plans in the current flow run, from the first stage to the state in which the run ends."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Failed

from flows.flow_process import working
from flows.placement.placing import placing
from flows.rounds.builder import PlanBuilder
from flows.stopping import received_signal
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import PkdError
from pkd_core.pipeline.growing_record import GrowingRecord
from pkd_core.pipeline.plan import Plan
from tasks.progress import ShowStage


def run_rounds(
    rounds: Callable[[PlanBuilder], State[Any]],
    recorded: AbstractContextManager[GrowingRecord],
    options: RunOptions,
    workspace: Path,
    show: ShowStage,
    begin: Callable[[Plan], None],
    remedy: str,
) -> State[Any]:
    """Run rounds with a builder of their plans, and return the flow run's state.

    Args:
        rounds: Builds one plan after the other, and returns the state.
        recorded: Where the plans are recorded.
        options: How stages are built.
        workspace: Where.
        show: Shows each stage while it is being built.
        begin: Called with each plan before its stages are built.
        remedy: What to do about stages that failed, as the end of a sentence.

    Raises:
        PkdError: A stage failed, or nothing can be chosen; after a signal to stop, the state is Failed instead.
    """
    with working(), recorded as record, placing(options, workspace, show) as submit:
        builder = PlanBuilder(options, submit, begin, record, remedy)
        try:
            return rounds(builder)
        except PkdError as error:
            if received_signal():
                return Failed(message=str(error))
            raise
