"""What a stage reports of its output: a few values for manifests, records, the log and the stages that follow."""

from typing import Self

from pkd_core.config.section import Section
from pkd_core.runtime.precision import Precision
from pkd_core.store.address import StageRecord


class Facts(Section):
    """Values of one kind of stage, as its manifest and its record carry them."""

    @classmethod
    def of(cls, record: StageRecord) -> Self:
        """Read a record's facts.

        Raises:
            pydantic.ValidationError: If the record is of another kind of stage.
        """
        return cls.model_validate(record.facts)


class TokensFacts(Facts):
    """Examples by split, the training split's mean length in tokens, skipped lines by split, and the length limit."""

    rows: dict[str, int]
    mean_length: float
    skipped_lines: dict[str, list[str]]
    max_length: int


class TrainingFacts(Facts):
    """The best epoch, from 1, with its dev score by `metric`; optimizer steps; what the forward computed in."""

    best_epoch: int
    best_score: float
    metric: str
    num_steps: int
    precision: Precision


class OwnTeacherFacts(Facts):
    """The family of each classifier that was taken as the teacher, and the size of their files in bytes."""

    families: tuple[str, ...]
    bytes: int


class TeacherStatesFacts(Facts):
    """Examples, the shape of what is stored for each, and the shards' size in bytes."""

    rows: int
    num_layers: int
    hidden_size: int
    num_outputs: int
    dtype: str
    bytes: int


class TransferFacts(Facts):
    """The number of unlabelled texts, and that of varied copies of training examples."""

    num_unlabelled: int
    num_copies: int


class SpeedFacts(Facts):
    """How many times faster than the teacher the depth is, and how far its 95 % interval reaches from that."""

    ratio: float
    spread: float


class EvaluationFacts(Facts):
    """The selecting dev score, and how many times faster than its teacher the model is; None for the teacher."""

    score: float
    speed_ratio: float | None


class DistancesFacts(Facts):
    """The mean distance over a student's layers before and after its training; None where widths differ."""

    before: float | None
    after: float | None


class CardFacts(Facts):
    """The teacher's score and the student's, and the format that the student is to be used in."""

    teacher_score: float
    score: float
    format: str


class SearchFacts(Facts):
    """The best method, its mean score on what was chosen by, and its mean dev score."""

    best: str
    chosen_by: float
    score: float


class ExportFacts(Facts):
    """The size of each file in bytes, the part of answers that int8 changes, and why int8 is not published, if so."""

    bytes: dict[str, int]
    share_changed: float
    refused: str


class LatencyCandidatesFacts(Facts):
    """The p99 by depth, in milliseconds, and the teacher's if it was timed; whether the machine was busy."""

    p99_ms: dict[int, float]
    teacher_p99_ms: float | None
    busy: bool


class LatencyFacts(Facts):
    """The p99 by model and format, in milliseconds; whether the machine was busy."""

    p99_ms: dict[str, float]
    busy: bool


class ReportFacts(Facts):
    """How many models the report compares, and the reason of each failure by the stage's key."""

    num_models: int
    failures: dict[str, str]
