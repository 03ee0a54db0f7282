"""How a flow run ended, in one sentence."""

from collections.abc import Mapping
from typing import Any

from prefect.futures import PrefectFuture

from pkd_core.pipeline.plan import Plan


def name_failures(futures: Mapping[str, PrefectFuture[Any]]) -> dict[str, str]:
    """Return the reason of each failed stage by its key; a stage whose input failed is not among them."""
    failures: dict[str, str] = {}
    for key, future in futures.items():
        state = future.state
        if state.is_failed() or state.is_crashed():
            failures[key] = state.message or str(state.name)
    return failures


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
