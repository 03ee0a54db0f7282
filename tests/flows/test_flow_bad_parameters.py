"""Parameters that Prefect's API was sent and that the flow cannot take: the run fails in one sentence."""

from pathlib import Path
from typing import Any

import pytest

from flows.pkd import pkd


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tasks": 0}, "tasks cannot be 0: input should be a valid tuple."),
        ({"tasks": [["Tiny"], None]}, "tasks.0 cannot be ['Tiny']: input should be a valid string."),
        ({"workspace": "a\0b"}, "workspace cannot be 'a\\x00b': expected a text without a NUL character."),
        ({"seeds": list(range(5000))}, "a run trains at most 1000 students, and this one has 20000 by tasks"),
    ],
)
def test_the_flow_fails_in_one_sentence(
    changes: dict[str, Any], expected: str, workspace: Path, tiny_model: Path, server: None
) -> None:
    parameters = {"tasks": ["Tiny"], "model": str(tiny_model), "workspace": str(workspace)} | changes
    state = pkd(**parameters, return_state=True)
    assert state.is_failed()
    assert state.message is not None
    assert state.message.startswith(expected)
    assert not (workspace / "artifacts").exists()
