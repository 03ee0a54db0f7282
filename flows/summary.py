"""Says in a sentence how a flow run ended."""

from collections.abc import Mapping
from typing import Any

from prefect.futures import PrefectFuture

from pkd_core.pipeline.plan import Plan


def name_failures(futures: Mapping[str, PrefectFuture[Any]]) -> dict[str, str]:
    """Return the root cause of each failed stage by its key; a stage that only waited for one is not a cause."""
    failures: dict[str, str] = {}
    for key, future in futures.items():
        state = future.state
        if state.is_failed() or state.is_crashed():
            failures[key] = state.message or str(state.name)
    return failures


def count_done(plan: Plan, failures: Mapping[str, str]) -> str:
    """Return a line such as "2 of 9 chains failed: QQP teacher: the loss is not finite at step 12."."""
    chains = {planned.stage.task for planned in plan.stages[:-1]}
    failed = chains & {key.partition("/")[0] for key in failures}
    causes = "; ".join(
        f"{key.replace('/', ' ')}: {reason.removesuffix('.')}" for key, reason in failures.items()
    )
    if failed:
        return f"{len(failed)} of {len(chains)} chains failed: {causes}"
    if failures:
        return f"{len(chains)} of {len(chains)} chains done, but not the report: {causes}"
    return f"{len(chains)} of {len(chains)} chains done, {len(plan.todo)} stages were to do."
