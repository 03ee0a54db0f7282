"""How a flow run ended, in one sentence."""

from collections.abc import Iterable, Mapping
from typing import Any

from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture

from pkd_core.pipeline.plan import Plan
from pkd_core.pipeline.stage import Stage

# What Ray raises in place of a stage's result, by the name of its class.
_CRASHES = {
    "WorkerCrashedError": "its worker process died each time that it was tried (it was killed, or ended itself)",
    "OutOfMemoryError": "its machine had too little memory each time that it was tried",
    "NodeDiedError": "the machine that computed it was lost each time that it was tried",
    "TaskCancelledError": "it was stopped before it began",
    "RaySystemError": "its worker could not read it, as with another version of pkd or its packages",
}


def name_failures(futures: Mapping[str, PrefectFuture[Any]], stages: Iterable[Stage]) -> dict[str, str]:
    """Return the reason of each failed stage by its key; a stage whose input failed is not among them.

    Args:
        futures: Of stages that have ended, by key.
        stages: At least these stages.
    """
    states = {key: future.state for key, future in futures.items()}
    bad = {key for key, state in states.items() if not state.is_completed()}
    inputs = {stage.key: set(stage.inputs.values()) for stage in stages}
    return {
        key: _reason(states[key])
        for key in futures
        if (states[key].is_failed() or states[key].is_crashed()) and not inputs[key] & bad
    }


def _reason(state: State[Any]) -> str:
    # Ray names what a worker raised as RayTaskError(NameOfIt), which is a subclass of both.
    raised = {kind.__name__ for kind in type(state.data).__mro__} if state.is_crashed() else set()
    known = [sentence for name, sentence in _CRASHES.items() if name in raised]
    return known[0] if known else state.message or str(state.name)


def count_done(plan: Plan, failures: Mapping[str, str]) -> str:
    """Return a line such as "2 of 9 tasks failed: QQP teacher: the loss is not finite at step 12."."""
    failed = plan.tasks.keys() & {key.partition("/")[0] for key in failures}
    causes = "; ".join(
        f"{key.replace('/', ' ')}: {reason.removesuffix('.')}" for key, reason in failures.items()
    )
    num_tasks = len(plan.tasks)
    if failed:
        return f"{len(failed)} of {num_tasks} tasks failed: {causes}"
    if failures:
        return f"{num_tasks} of {num_tasks} tasks done, but not the report: {causes}"
    return f"{num_tasks} of {num_tasks} tasks done, {len(plan.todo)} stages were to do."
