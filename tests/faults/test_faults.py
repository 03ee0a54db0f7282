"""A few of the faults that `make faults` does by the dozen."""

from pathlib import Path

import pytest

from faults.damage import damage_everything
from faults.inputs import feed_bad_inputs
from faults.kills import kill_at_random
from faults.shortage_kinds import SHORTAGES
from faults.shortages import run_short
from faults.together import run_together


def test_a_killed_run_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    tally = kill_at_random(tmp_path, 1, seed=3, words=["--methods", "pkd-skip"])
    assert (tally.injected, tally.lost) == (1, 0), tally.details


@pytest.mark.slow
def test_runs_that_are_killed_again_and_again_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    tally = kill_at_random(tmp_path, 8, seed=7)
    assert (tally.injected, tally.lost) == (8, 0), tally.details


def test_damage_to_a_published_file_is_found_and_mended(tmp_path: Path) -> None:
    tally = damage_everything(tmp_path, every=25)
    assert tally.injected > 4
    assert tally.lost == 0, tally.details


@pytest.mark.slow
def test_damage_to_any_published_file_is_found_and_mended(tmp_path: Path) -> None:
    tally = damage_everything(tmp_path, every=1)
    assert tally.lost == 0, tally.details


@pytest.mark.slow
@pytest.mark.parametrize("share", ["1", "2"])
def test_three_runs_at_once_compute_each_stage_once_though_one_is_killed(tmp_path: Path, share: str) -> None:
    tally = run_together(tmp_path, 3, "--share", share)
    assert (tally.injected, tally.lost) == (1, 0), tally.details


def test_bad_inputs_are_taken_or_refused_in_a_sentence_and_leave_nothing(tmp_path: Path) -> None:
    tally = feed_bad_inputs(tmp_path, 200)
    assert tally.injected >= 200
    assert tally.lost == 0, tally.details


@pytest.mark.slow
def test_thousands_of_bad_inputs_are_taken_or_refused_in_a_sentence_and_leave_nothing(tmp_path: Path) -> None:
    tally = feed_bad_inputs(tmp_path, 2500)
    assert tally.injected > 2000
    assert tally.lost == 0, tally.details


@pytest.mark.slow
def test_a_run_that_is_short_of_something_says_so_and_is_finished_by_the_next(tmp_path: Path) -> None:
    # A few of the dozens that `make faults` does; each takes half a minute.
    groups = {name: shortages[1::6] for name, shortages in SHORTAGES.items()}
    for tally in run_short(tmp_path, groups, lambda _: None):
        assert tally.lost == 0, f"{tally.name}: {tally.details}"
