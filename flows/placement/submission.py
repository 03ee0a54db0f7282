"""Submits stages to Prefect, as tasks of the current flow run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from prefect.futures import PrefectFuture
from prefect.runtime import flow_run

from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.stage import Stage
from tasks.progress import ShowStage
from tasks.run_stage import task_for

Future = PrefectFuture[Any]


class Submit(Protocol):
    """Submits a stage, to be computed wherever the run places it."""

    def __call__(self, stage: Stage, inputs: Mapping[str, Any], context: RunContext, refresh: bool) -> Future:
        """Submit a stage.

        Args:
            stage: What is to be built.
            inputs: A future or a record, as JSON, of each stage that it reads, by that one's key.
            context: Where and how the run works.
            refresh: Run it whatever Prefect has recorded of it.
        """
        ...


@dataclass(frozen=True)
class SubmitInThread:
    """Submits stages to threads of this process.

    Attributes:
        show: Shows a stage while it is being built.
    """

    show: ShowStage

    def __call__(self, stage: Stage, inputs: Mapping[str, Any], context: RunContext, refresh: bool) -> Future:
        """Submit a stage."""
        future: Future = task_for(stage, context.workspace, refresh).submit(
            **parameters_of(stage, inputs, context), show=self.show
        )
        return future


def parameters_of(stage: Stage, inputs: Mapping[str, Any], context: RunContext) -> dict[str, Any]:
    """Return the parameters that a stage's task has wherever it is placed."""
    return {
        "stage": stage,
        "inputs": {part: inputs[key] for part, key in stage.inputs.items()},
        "context": context,
        "flow_run": str(flow_run.get_name()),
    }
