"""Optuna's choice of points: different ones, the same at every start, left early where they are poor, and kept."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from flows.search.tpe import Tpe
from pkd_core.config.search import Point, Round, SearchConfig, build_search_config
from pkd_core.errors import ConfigError, TrainingError

ROUND = Round(
    "kd", {"distill.alpha": (0.1, 0.3, 0.5, 0.7, 0.9), "distill.temperature": (1.0, 5.0, 10.0, 20.0)}
)
SEEDS = (1, 2, 3)


class Progress:
    """A round whose scores are a formula: alpha 0.7 and T 5 are the best."""

    def __init__(self, config: SearchConfig, dies_after: int | None = None) -> None:
        self.search, self.round, self.seeds, self.name = self, ROUND, SEEDS, "RTE-kd-0"
        self.calls: list[tuple[Point, Sequence[int]]] = []
        self._config, self._dies_after = config, dies_after

    def num_points(self, one: Round) -> int:
        return min(self._config.trials, len(one.points))

    def evaluate(self, points: Sequence[Point], seeds: Sequence[int]) -> list[dict[int, float]]:
        if len(self.calls) == self._dies_after:
            raise TrainingError("the machine was switched off.")
        self.calls += [(point, tuple(seeds)) for point in points]
        return [{seed: score(point) + seed / 1000 for seed in seeds} for point in points]


def score(point: Point) -> float:
    return 0.8 - abs(point["distill.alpha"] - 0.7) / 2 - abs(point["distill.temperature"] - 5) / 100


def config(**values: Any) -> SearchConfig:
    return build_search_config({"sampler": "tpe", "trials": 12} | values)


def tried(search: SearchConfig, journal: Path | None = None, dies_after: int | None = None) -> Progress:
    progress = Progress(search, dies_after)
    try:
        Tpe(search, journal)(progress)  # type: ignore[arg-type]
    except TrainingError:
        assert dies_after is not None
    return progress


def test_as_many_different_points_are_tried_as_were_asked_for_each_with_every_seed() -> None:
    calls = tried(config()).calls
    assert len({tuple(point.values()) for point, _ in calls}) == len(calls) == 12
    assert all(point in ROUND.points and seeds == SEEDS for point, seeds in calls)


def test_no_more_points_are_tried_than_there_are() -> None:
    calls = tried(config(trials=100)).calls
    assert sorted(tuple(point.values()) for point, _ in calls) == sorted(
        tuple(one.values()) for one in ROUND.points
    )


def test_another_seed_tries_other_points() -> None:
    assert tried(config(trials=5)).calls != tried(config(trials=5, seed=1)).calls


def test_a_search_that_died_continues_with_the_same_points(tmp_path: Path) -> None:
    whole = tried(config()).calls
    journal = tmp_path / "optuna.log"
    assert tried(config(), journal, dies_after=7).calls == whole[:7]
    # All points are asked for again, and those that were trained are found in the store.
    assert tried(config(), journal).calls == whole
    journal.unlink()
    assert tried(config(), journal).calls == whole


def test_optunas_own_tools_find_each_trial_once(tmp_path: Path) -> None:
    journal = tmp_path / "optuna.log"
    for dies_after in (7, None, None):
        calls = tried(config(), journal, dies_after).calls
    study = optuna.load_study(study_name="RTE-kd-0", storage=JournalStorage(JournalFileBackend(str(journal))))
    assert [trial.params for trial in study.trials] == [point for point, _ in calls]
    best = max((point for point, _ in calls), key=score)
    assert study.best_params == best
    assert study.best_value == pytest.approx(score(best) + 0.002)


def test_a_poor_points_further_seeds_are_left_out_but_never_those_of_the_first_points(tmp_path: Path) -> None:
    search, journal = config(prune=True, trials=15), tmp_path / "optuna.log"
    calls = tried(search, journal).calls
    num_seeds: dict[tuple[Any, ...], int] = {}
    for point, seeds in calls:
        assert len(seeds) == 1
        num_seeds[tuple(point.values())] = num_seeds.get(tuple(point.values()), 0) + 1
    assert list(num_seeds.values())[:5] == [3] * 5
    left = [point for point, number in num_seeds.items() if number == 1]
    assert left
    points = [dict(zip(ROUND.grid, values, strict=True)) for values in num_seeds]
    assert max(points, key=score) in [one for one in points if num_seeds[tuple(one.values())] == 3]
    study = optuna.load_study(study_name="RTE-kd-0", storage=JournalStorage(JournalFileBackend(str(journal))))
    assert sum(trial.state is TrialState.PRUNED for trial in study.trials) == len(left)


def test_without_optuna_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match="needs the package optuna"):
        tried(config())
