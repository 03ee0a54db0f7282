"""A stage's results may not change without its code version: old results would be taken for new ones."""

import pytest
from golden import Result, agree, golden_results, read_record

from pkd_core.pipeline.kinds import CODE_VERSIONS, StageKind


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Result]]:
    return golden_results(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("kind", StageKind)
def test_a_stage_produces_the_results_recorded_with_its_code_version(
    kind: StageKind, results: dict[str, dict[str, Result]]
) -> None:
    recorded = read_record()[kind]
    assert recorded["code_version"] == CODE_VERSIONS[kind], "write the record again: make golden"
    assert recorded["results"].keys() == results[kind].keys()
    changed = [name for name, found in results[kind].items() if not agree(recorded["results"][name], found)]
    assert changed == [], (
        f"the stage {kind} makes other results: raise its version in CODE_VERSIONS (old results no longer stand), "
        "then run `make golden`"
    )


@pytest.mark.parametrize(
    ("recorded", "found", "expected"),
    [
        ("ab", "ab", True),
        ("ab", "ac", False),
        ([1.0, 0.5], [1.0, 0.5005], True),
        ([1.0, 0.5], [1.0005, 0.5], True),
        ([1.0, 0.5], [1.0, 0.502], False),
        ([1.0, 0.5], [1.002, 0.5], False),
        ([1.0, 0.5], "ab", False),
    ],
)
def test_results_agree_within_the_tolerance(recorded: Result, found: Result, expected: bool) -> None:
    assert agree(recorded, found) is expected
