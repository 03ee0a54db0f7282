"""Thousands of malformed inputs: each is accepted, or rejected in one sentence, and no file is changed."""

import os
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, given, settings
from tiny import write_tiny_glue, write_tiny_model, write_tiny_task

from faults.entry_points import EntryPoint, entry_points_of
from faults.outcome import Outcome

_MAX_DETAILS = 8


def check_malformed_inputs(root: Path, count: int, log: Callable[[str], None] = lambda _: None) -> Outcome:
    """Pass malformed inputs to every entry point, and count those that are neither accepted nor rejected properly.

    Args:
        root: An empty folder.
        count: Approximate number of inputs in total.
        log: Called with each line of progress.
    """
    workspace, model = root / "workspace", root / "model"
    write_tiny_task(workspace / "data_raw")
    write_tiny_glue(workspace / "data_raw")
    write_tiny_model(model)
    outcome = Outcome("a malformed input")
    failures: dict[str, str] = {}
    # The command line sets Prefect's folders in the environment; later faults use other workspaces.
    with chdir(workspace), patch.dict(os.environ):
        for entry_point in entry_points_of(workspace, model):
            log(f"malformed inputs: {entry_point.name}")
            for value, failure in _check(entry_point, max(1, round(count * entry_point.fraction))):
                outcome.injected += 1
                if failure:
                    outcome.lost += 1
                    failures.setdefault(f"{entry_point.name}: {failure[:200]}", repr(value)[:200])
    outcome.details = "".join(
        f" {failure} for {value};" for failure, value in list(failures.items())[:_MAX_DETAILS]
    )
    return outcome


def _check(entry_point: EntryPoint, count: int) -> list[tuple[Any, str]]:
    """Return each input with its failure, or ""; the inputs are the same in every run."""
    results = []

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(entry_point.inputs)
    def check(value: Any) -> None:
        results.append((value, entry_point.check(value)))

    check()
    return results
