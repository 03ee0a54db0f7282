"""A few of the faults that `make faults` injects by the dozen."""

from pathlib import Path

import pytest

from faults.concurrent_runs import kill_one_of_concurrent_runs
from faults.damage import damage_published_files
from faults.each_operation import kill_at_each_operation
from faults.inputs import check_malformed_inputs
from faults.kills import kill_at_random
from faults.shortage_kinds import SHORTAGES
from faults.shortages import inject_shortages


@pytest.mark.slow
def test_a_killed_run_ends_with_the_results_of_an_undisturbed_one(tmp_path: Path) -> None:
    outcome = kill_at_random(tmp_path, 1, seed=3, arguments=["--methods", "pkd-skip"])
    assert (outcome.injected, outcome.lost) == (1, 0), outcome.details


@pytest.mark.slow
def test_a_run_killed_eight_times_ends_with_the_results_of_an_undisturbed_one(tmp_path: Path) -> None:
    outcome = kill_at_random(tmp_path, 8, seed=7)
    assert (outcome.injected, outcome.lost) == (8, 0), outcome.details


@pytest.mark.slow
def test_a_run_killed_at_any_operation_ends_with_the_results_of_an_undisturbed_one(tmp_path: Path) -> None:
    outcome = kill_at_each_operation(tmp_path, every=12)
    assert outcome.injected > 20
    assert outcome.lost == 0, outcome.details


@pytest.mark.slow
def test_damage_to_a_published_file_is_detected_and_repaired(tmp_path: Path) -> None:
    outcome = damage_published_files(tmp_path, every=25)
    assert outcome.injected > 4
    assert outcome.lost == 0, outcome.details


@pytest.mark.slow
def test_damage_to_any_published_file_is_detected_and_repaired(tmp_path: Path) -> None:
    outcome = damage_published_files(tmp_path, every=1)
    assert outcome.injected > 100
    assert outcome.lost == 0, outcome.details


@pytest.mark.slow
def test_concurrent_runs_compute_each_stage_once_though_one_is_killed(tmp_path: Path) -> None:
    outcome = kill_one_of_concurrent_runs(tmp_path, 3)
    assert (outcome.injected, outcome.lost) == (1, 0), outcome.details


def test_malformed_inputs_are_accepted_or_rejected_in_one_sentence_and_change_no_file(tmp_path: Path) -> None:
    outcome = check_malformed_inputs(tmp_path, 200)
    assert outcome.injected >= 200
    assert outcome.lost == 0, outcome.details


@pytest.mark.slow
def test_thousands_of_malformed_inputs_are_accepted_or_rejected_in_one_sentence(tmp_path: Path) -> None:
    outcome = check_malformed_inputs(tmp_path, 2500)
    assert outcome.injected > 2000
    assert outcome.lost == 0, outcome.details


@pytest.mark.slow
def test_a_run_short_of_a_resource_ends_in_one_sentence_and_the_next_run_finishes(tmp_path: Path) -> None:
    # A few of the dozens that `make faults` injects; each takes half a minute.
    groups = {name: shortages[1::6] for name, shortages in SHORTAGES.items()}
    for outcome in inject_shortages(tmp_path, groups):
        assert outcome.lost == 0, f"{outcome.name}: {outcome.details}"
