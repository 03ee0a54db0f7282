"""What the stages of a search are asked for: which rows to hold out, and what was tried and chosen."""

from typing import Any, ClassVar, Literal

from pkd_core.config.section import Section
from pkd_core.config.settings import Method
from pkd_core.pipeline.kinds import StageKind


class HoldoutSpec(Section):
    """The part of the training rows that takes the place of the dev split."""

    fraction: float
    seed: int


class TriedSpec(Section):
    """Settings that a search has tried, and the keys of their evaluations by seed."""

    settings: dict[str, Any]
    evaluations: dict[int, str]


class RoundSpec(Section):
    """A round of a search: what earlier ones had chosen for its method, and what it has tried."""

    method: Literal["teacher"] | Method
    kept: dict[str, Any]
    points: tuple[TriedSpec, ...]


class FinalSpec(Section):
    """A method with all that was chosen for it, the keys of its evaluations by seed, and the command that repeats it.

    A teacher has no command and one evaluation, under 0.
    """

    method: Literal["teacher"] | Method
    settings: dict[str, Any]
    evaluations: dict[int, str]
    command: str


class SearchSpec(Section):
    """Reporting a search; `holdout` is None where it has chosen on dev."""

    kind: ClassVar[StageKind] = StageKind.SEARCH
    task: str
    num_layers: int
    base_model: str
    base_model_digest: str
    holdout: HoldoutSpec | None
    sampler: str
    rounds: tuple[RoundSpec, ...]
    finals: tuple[FinalSpec, ...]
