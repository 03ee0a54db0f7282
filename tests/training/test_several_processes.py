"""Trainings in several processes: two end with the same bits as one, four nearly so."""

from pathlib import Path

import pytest
import torch
from rank_processes import run_ranks
from together import CASES, alone, outcome

from pkd_core.runtime.threads import computing_with


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patient")
    run_ranks("together.patient", 2, folder)
    return folder


@pytest.fixture(scope="module")
def other_trainings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("others")
    run_ranks("together.all_others", 2, folder)
    return folder


def test_two_processes_end_with_the_bits_of_one_that_computes_two_parts_of_a_batch(
    two_processes: Path, tmp_path: Path
) -> None:
    check_same_bits("patient", two_processes, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name != "patient"])
def test_two_processes_end_with_the_bits_of_one_whatever_they_train(
    name: str, other_trainings: Path, tmp_path: Path
) -> None:
    check_same_bits(name, other_trainings, tmp_path)


def check_same_bits(name: str, two_processes: Path, tmp_path: Path) -> None:
    with computing_with(1):
        weights, seen = alone(name, 2, tmp_path)
    for rank in (0, 1):
        found, found_seen = outcome(two_processes / f"{name}-{rank}")
        assert found_seen == seen
        assert found.keys() == weights.keys()
        for key, value in weights.items():
            assert torch.equal(found[key], value), key
    # The losses are those of the whole batch, and there are as many steps.
    assert [step for step, values in seen[0] if "train/total" in values] == list(range(1, 9))


def test_a_stopped_training_stops_in_all_processes_and_goes_on_to_the_same_bits(
    two_processes: Path, tmp_path: Path
) -> None:
    with computing_with(1):
        weights, (_, points, _) = alone("fine-tuning", 2, tmp_path)
    for rank in (0, 1):
        found, (observed, found_points, _) = outcome(two_processes / f"interrupted-{rank}")
        assert found_points == points
        assert observed[0][0] == 3, "it has gone on after step 2"
        for key, value in weights.items():
            assert torch.equal(found[key], value), key


@pytest.mark.slow
def test_four_processes_end_alike_and_near_to_one(tmp_path: Path) -> None:
    run_ranks("together.four_parts", 4, tmp_path)
    with computing_with(1):
        weights, seen = alone("patient", 4, tmp_path)
    first, first_seen = outcome(tmp_path / "patient-0")
    for rank in (1, 2, 3):
        found, found_seen = outcome(tmp_path / f"patient-{rank}")
        assert found_seen == first_seen
        assert all(torch.equal(found[key], value) for key, value in first.items())
    distance = max(float((first[key] - value).abs().max()) for key, value in weights.items())
    assert 0 < distance < 1e-4
    for (_, values), (_, expected) in zip(first_seen[0], seen[0], strict=True):
        assert values == pytest.approx(expected, rel=1e-3)
