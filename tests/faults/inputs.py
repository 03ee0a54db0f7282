"""Thousands of bad inputs: each is taken, or refused in one sentence, and no file is left or changed."""

import os
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, given, settings
from tiny import write_tiny_glue, write_tiny_model, write_tiny_task

from faults.doors import Door, doors_of
from faults.tally import Tally

_MOST_DETAILS = 8


def feed_bad_inputs(root: Path, count: int, say: Callable[[str], None] = lambda _: None) -> Tally:
    """Feed inputs to the reader, the configuration and the command line; count what is neither taken nor refused well.

    Args:
        root: An empty folder.
        count: About how many in all.
        say: Is told of progress.
    """
    workspace, model = root / "workspace", root / "model"
    write_tiny_task(workspace / "data_raw")
    write_tiny_glue(workspace / "data_raw")
    write_tiny_model(model)
    tally = Tally("a bad input")
    wrong: dict[str, str] = {}
    # The command line settles where Prefect keeps its files; what is done next here has workspaces of its own.
    with chdir(workspace), patch.dict(os.environ):
        for door in doors_of(workspace, model):
            say(f"bad inputs: {door.name}")
            for fed, answer in _feed(door, max(1, round(count * door.share))):
                tally.injected += 1
                if answer:
                    tally.lost += 1
                    wrong.setdefault(f"{door.name}: {answer[:200]}", repr(fed)[:200])
    tally.details = "".join(f" {answer} at {fed};" for answer, fed in list(wrong.items())[:_MOST_DETAILS])
    return tally


def _feed(door: Door, count: int) -> list[tuple[Any, str]]:
    """Return each input that was fed with what was wrong with the answer, or nothing; the same inputs each time."""
    answers = []

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(door.inputs)
    def feed(fed: Any) -> None:
        answers.append((fed, door.feed(fed)))

    feed()
    return answers
