"""Optuna as a sampler: its TPE suggests points, its median pruner leaves poor ones early, its journal keeps the trials.

What is suggested follows from the seed and the scores alone: a search that is started again suggests the same points,
and finds those that are trained. So it continues also where the journal was deleted.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pkd_core.config.search import Point, SearchConfig, describe_point
from pkd_core.errors import ConfigError
from pkd_core.pipeline.search import RoundInProgress
from pkd_core.store.lock import hold
from pkd_core.store.os_errors import file_errors

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

# Points that are chosen at random before the scores are used, and that are never left early.
_NUM_RANDOM = 5
# Suggestions of points that were tried before, until another one is taken.
_MAX_REPEATED = 20
_SEEDS = 2**32


@dataclass(frozen=True)
class Tpe:
    """Tries the points that Optuna suggests, one after the other.

    Attributes:
        config: Number of points, seed, and whether to leave poor ones early.
        journal: Optuna's file, which its own tools read; None to keep none.
    """

    config: SearchConfig
    journal: Path | None

    def __call__(self, progress: RoundInProgress) -> None:
        """Try as many different points of a round as the search asks for.

        Raises:
            ConfigError: Optuna is not installed.
            PkdError: A stage failed, or the disk cannot be written.
        """
        study = _new_study()
        means: dict[str, float] = {}
        while len(means) < progress.search.num_points(progress.round):
            trial = self._suggest(study, progress, means)
            means[describe_point(trial.params)] = self._try(study, trial, progress)
            self._keep(study, progress.name, len(means))

    def _suggest(self, study: "Study", progress: RoundInProgress, means: Mapping[str, float]) -> "Trial":
        """Return a trial of a point that was not tried yet."""
        distributions = _distributions(progress)
        for _ in range(_MAX_REPEATED):
            study.sampler = _sampler((self.config.seed * 1_000_003 + len(study.trials)) % _SEEDS)
            trial = study.ask(distributions)
            tried = describe_point(trial.params)
            if tried not in means:
                return trial
            study.tell(trial, means[tried])
        study.enqueue_trial(
            next(dict(one) for one in progress.round.points if describe_point(one) not in means)
        )
        return study.ask(distributions)

    def _try(self, study: "Study", trial: "Trial", progress: RoundInProgress) -> float:
        """Train a point with each seed, and return the mean score of those that were not left out."""
        from optuna.trial import TrialState

        point: Point = trial.params
        if not self.config.prune:
            (scores,) = progress.evaluate([point], progress.seeds)
            study.tell(trial, fmean(scores.values()))
            return fmean(scores.values())
        scores = {}
        for number, seed in enumerate(progress.seeds, 1):
            scores |= progress.evaluate([point], [seed])[0]
            trial.report(fmean(scores.values()), step=number)
            if number < len(progress.seeds) and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                return fmean(scores.values())
        study.tell(trial, fmean(scores.values()))
        return fmean(scores.values())

    def _keep(self, study: "Study", name: str, number: int) -> None:
        """Add the last trial to the journal as the one of that number, unless it has it."""
        if self.journal is None:
            return
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        with (
            file_errors("write", self.journal),
            hold(self.journal.with_suffix(".lock"), "Optuna's journal"),
        ):
            kept = optuna.create_study(
                study_name=name,
                storage=JournalStorage(JournalFileBackend(str(self.journal))),
                direction="maximize",
                load_if_exists=True,
            )
            if len(kept.trials) < number:
                kept.add_trial(study.trials[-1])


def _new_study() -> "Study":
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ConfigError(
            "search.sampler=tpe needs the package optuna; install it (pip install optuna), or use search.sampler=grid."
        ) from error
    optuna.logging.set_verbosity(logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_NUM_RANDOM)
    return optuna.create_study(direction="maximize", pruner=pruner)


def _sampler(seed: int) -> Any:
    from optuna.samplers import TPESampler

    return TPESampler(n_startup_trials=_NUM_RANDOM, seed=seed)


def _distributions(progress: RoundInProgress) -> "dict[str, BaseDistribution]":
    from optuna.distributions import CategoricalDistribution

    return {key: CategoricalDistribution(values) for key, values in progress.round.grid.items()}
