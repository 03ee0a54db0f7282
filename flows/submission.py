"""Submits a stage to Prefect, as a task of the current flow run."""

from collections.abc import Mapping
from typing import Any

from prefect.futures import PrefectFuture
from prefect.runtime import flow_run

from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.stage import Stage
from tasks.progress import ShowStage
from tasks.run_stage import task_for

Future = PrefectFuture[Any]


def submit_stage(
    stage: Stage, inputs: Mapping[str, Any], context: RunContext, show: ShowStage, refresh: bool
) -> Future:
    """Submit a stage.

    Args:
        stage: What is to be built.
        inputs: A future or a record, as JSON, of each stage that it reads, by that one's key.
        context: Where and how the run works.
        show: Shows the stage while it is being built.
        refresh: Run it whatever Prefect has recorded of it.
    """
    task = task_for(stage, context.workspace, refresh)
    future: Future = task.submit(
        stage=stage,
        inputs={part: inputs[key] for part, key in stage.inputs.items()},
        context=context,
        flow_run=str(flow_run.get_name()),
        show=show,
    )
    return future
