"""What a search tries: the paper's grids, the rounds that they make, and the points of a round."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat

from pkd_core.config.distill_settings import DistillationLoss
from pkd_core.config.overrides import validated
from pkd_core.config.readers import loss_reads, methods_reading
from pkd_core.config.section import Count, Fraction, NonNegative, Positive, Section, Seed
from pkd_core.config.settings import METHODS, RunConfig
from pkd_core.errors import ConfigError, listed, quoted

TEACHER = "teacher"
# Chosen once, by the first round that tries them, and kept in the rounds after it.
_KEPT = ("teacher.learning_rate", "distill.alpha", "distill.temperature")
# Setting by the name of its grid; and, for readers, names as in the table of presets.
_KEYS = {
    "teacher_learning_rate": "teacher.learning_rate",
    "alpha": "distill.alpha",
    "temperature": "distill.temperature",
    "learning_rate": "student.learning_rate",
    "beta": "distill.beta",
    "normalize": "distill.normalize",
}
_SHORT_NAMES = {"learning_rate": "lr", "temperature": "T"}

Point = Mapping[str, Any]


class SearchConfig(Section):
    """What a search tries, and what it chooses by; the grids are the paper's."""

    alpha: Annotated[
        tuple[Fraction, ...], Field(min_length=1, description="Values of distill.alpha to try.")
    ] = (0.2, 0.5, 0.7)
    temperature: Annotated[
        tuple[Positive, ...], Field(min_length=1, description="Values of distill.temperature to try.")
    ] = (5.0, 10.0, 20.0)
    learning_rate: Annotated[
        tuple[Positive, ...], Field(min_length=1, description="Values of student.learning_rate to try.")
    ] = (5e-5, 2e-5, 1e-5)
    beta: Annotated[
        tuple[NonNegative, ...], Field(min_length=1, description="Values of distill.beta to try.")
    ] = (10.0, 100.0, 500.0, 1000.0)
    normalize: Annotated[
        tuple[bool, ...], Field(min_length=1, description="Values of distill.normalize to try.")
    ] = (True, False)
    teacher_learning_rate: Annotated[
        tuple[Positive, ...] | None,
        Field(
            min_length=1,
            description="Values of teacher.learning_rate to try, before anything else. Default: no round for it.",
        ),
    ] = None
    choose_on: Annotated[
        Literal["train", "dev"],
        Field(
            description="What the best point is chosen by: rows held out of train, so that dev stays unseen, or dev "
            "itself, as the authors did."
        ),
    ] = "train"
    holdout: Annotated[
        FiniteFloat, Field(ge=0.001, le=0.5, description="Part of the training rows that is held out.")
    ] = 0.1
    seed: Annotated[Seed, Field(description="Seed of the held-out rows and of the sampler.")] = 0
    sampler: Annotated[
        Literal["grid", "tpe"], Field(description="Every point of the grid, or Optuna's choice of them.")
    ] = "grid"
    trials: Annotated[Count, Field(description="Points that Optuna tries in each round.")] = 20
    prune: Annotated[
        bool,
        Field(
            description="Leave out a point's further seeds where the first are worse than the median (Optuna)."
        ),
    ] = False


class _Settings(Section):
    """Gives errors the keys that a user types."""

    search: SearchConfig


@dataclass(frozen=True)
class Round:
    """A part of a search: one method, and the values to try of each setting.

    Attributes:
        method: "teacher" or a student's method.
        grid: Values by dotted key.
    """

    method: str
    grid: Mapping[str, tuple[Any, ...]]

    @property
    def points(self) -> list[Point]:
        """Every combination of the values, the last setting varying fastest."""
        return [
            dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())
        ]

    @property
    def searched(self) -> tuple[str, ...]:
        """The settings of which there are several values."""
        return tuple(key for key, values in self.grid.items() if len(values) > 1)

    def kept(self, point: Point) -> dict[str, Any]:
        """Return what a point fixes for later rounds."""
        return {key: value for key, value in point.items() if key in _KEPT}


def build_search_config(values: Mapping[str, Any]) -> SearchConfig:
    """Build a search's settings, by their names without "search."; texts of values between commas become lists.

    Raises:
        ConfigError: One is unknown, empty, of the wrong type or out of range, names a value twice, or has no effect.
    """
    for name in values:
        if name not in SearchConfig.model_fields:
            raise ConfigError(
                f"there is no setting {quoted(f'search.{name}')}: a search has "
                f"{', '.join(f'search.{known}' for known in SearchConfig.model_fields)}."
            )
    lists = {name: _split(f"search.{name}", value) for name, value in values.items() if name in _KEYS}
    config = validated(_Settings, {"search": {**values, **lists}}).search
    for name in lists:
        tried = getattr(config, name) or ()
        if len(set(tried)) < len(tried):
            raise ConfigError(f"search.{name} has a value twice: {listed(tried)}; give each once.")
    _check_effect(config)
    return config


def searched_rounds(config: SearchConfig, run: RunConfig) -> list[Round]:
    """Return a search's rounds: the teacher's, if it has a grid, then one for each method.

    What the methods share with `kd`, alpha and temperature, is chosen by its round: it comes before theirs, also if
    the run does not name it, unless there is nothing to choose.

    Raises:
        ConfigError: The run is not one task and one depth, sets what is searched, or has too few seeds to prune.
    """
    for name, count in (("task", len(run.tasks)), ("depth", len(run.student_layers or (0,)))):
        if count != 1:
            raise ConfigError(f"a search is for one {name}, got {count}; start one search for each.")
    if config.prune and len(run.seeds) == 1:
        raise ConfigError(
            "search.prune has no effect with one seed, as it leaves out a point's further seeds; give several --seeds."
        )
    methods = [method for method in METHODS if method in run.methods or _needs(run, method, config)]
    rounds = list(_rounds(config, methods, run.settings.get("distill.distillation_loss", "kl")))
    for key in dict.fromkeys(key for one in rounds for key in one.grid):
        if key in run.settings:
            name = next(name for name, known in _KEYS.items() if known == key)
            raise ConfigError(
                f"{key} is searched, and cannot be set too; give search.{name}={run.settings[key]} to try it alone."
            )
    return rounds


def read_by(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some settings that a method depends on: its own, and its teacher's."""
    return {
        key: value for key, value in settings.items() if key.startswith("teacher.") or _reads(method, key)
    }


def describe_point(point: Point) -> str:
    """Return a point for readers.

    >>> describe_point({"distill.alpha": 0.5, "student.learning_rate": 2e-5, "distill.normalize": True})
    'alpha=0.5 lr=2e-05 normalize=true'
    """
    return " ".join(f"{short_name(key)}={show_value(value)}" for key, value in point.items())


def short_name(key: str) -> str:
    """Return a setting's name as in the table of presets."""
    name = key.rpartition(".")[2]
    return _SHORT_NAMES.get(name, name)


def show_value(value: Any) -> str:
    """Return a value as it is typed."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return next(text for text in (f"{value:g}", repr(value)) if float(text) == value)
    return str(value)


def _rounds(config: SearchConfig, methods: Sequence[str], loss: DistillationLoss) -> Iterator[Round]:
    kept: set[str] = set()
    for method in (TEACHER, *methods):
        grid = {
            key: getattr(config, name)
            for name, key in _KEYS.items()
            if key not in kept and getattr(config, name) and _reads(method, key) and loss_reads(loss, key)
        }
        if grid:
            kept.update(key for key in grid if key in _KEPT)
            yield Round(method, grid)


def _reads(method: str, key: str) -> bool:
    if key.startswith("teacher."):
        return method == TEACHER
    return method in methods_reading(key)


def _needs(run: RunConfig, method: str, config: SearchConfig) -> bool:
    """Return whether other methods need what a method's round chooses."""
    shared = [key for key in _KEPT if key.startswith("distill.")]
    has_choice = len(config.alpha) > 1 or len(config.temperature) > 1
    return (
        method == "kd" and has_choice and any(_reads(other, key) for other in run.methods for key in shared)
    )


def _split(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    values = [one.strip() for one in value.split(",")]
    if not all(values):
        raise ConfigError(f"{key} needs at least one value, and one between commas, such as {key}=0.2,0.5.")
    return values


def _check_effect(config: SearchConfig) -> None:
    given = config.model_fields_set
    for name, needed, has_effect in (
        ("trials", "search.sampler=tpe", config.sampler == "tpe"),
        ("prune", "search.sampler=tpe", config.sampler == "tpe"),
        ("holdout", "search.choose_on=train", config.choose_on == "train"),
    ):
        if name in given and not has_effect:
            raise ConfigError(
                f"search.{name} has no effect without {needed}; leave it out, or give {needed}."
            )
