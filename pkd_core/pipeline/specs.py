"""What each kind of stage is asked to do: one frozen specification a kind, built once and carried to where it is used.

Its JSON is what a stage's address is computed from, and what its manifest records: a field that is renamed here moves
published results to another address.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import SerializerFunctionWrapHandler, WrapSerializer, model_serializer

from pkd_core.config.distill_settings import DistillationLoss, DistillConfig, Reduction
from pkd_core.config.readers import loss_reads
from pkd_core.config.section import Section
from pkd_core.config.settings import (
    EvaluationConfig,
    Method,
    SpeedConfig,
    StatesConfig,
    StudentConfig,
    TeacherConfig,
    TokensConfig,
)
from pkd_core.config.transfer_settings import TransferConfig
from pkd_core.method.layer_map import LayerMap
from pkd_core.pipeline.card_specs import CardSpec
from pkd_core.pipeline.export_specs import ExportSpec
from pkd_core.pipeline.file_shape import FileShape
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.latency_specs import LatencyCandidatesSpec, LatencySpec
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec
from pkd_core.pipeline.search_specs import HoldoutSpec, SearchSpec

# Settings that are newer than published addresses, whose JSON leaves out their defaults.
_NEWER = (
    *("truncation", "optimizer", "shuffle", "schedule"),
    *("distillation_loss", "dkd_target_weight", "dkd_other_weight"),
    *("mlm_probability", "standardize_scores"),
)

# The key beside a specification's own in a manifest's configuration.
THREADS = "threads"


def _without_newer_defaults(config: Section, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
    defaults = {key: field.default for key, field in type(config).model_fields.items() if key in _NEWER}
    return {key: value for key, value in serialize(config).items() if defaults.get(key, ...) != value}


_ADDRESSED = WrapSerializer(_without_newer_defaults)


class TokensSpec(Section):
    """Raw TSV files to token ids.

    With `holdout`, only the training split is read, and divided; the JSON leaves it out where it is None.
    """

    kind: ClassVar[StageKind] = StageKind.TOKENS
    task: FileShape
    tokens: Annotated[TokensConfig, _ADDRESSED]
    holdout: HoldoutSpec | None = None

    @model_serializer(mode="wrap")
    def _without_absent_parts(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_none(serialize(self))


class TeacherSpec(Section):
    """Fine-tuning the pretrained model; `metric` selects the best epoch."""

    kind: ClassVar[StageKind] = StageKind.TEACHER
    method: Literal["teacher"] = "teacher"
    num_layers: int
    metric: str
    training: Annotated[TeacherConfig, _ADDRESSED]

    @property
    def seed(self) -> int:
        """Seed of the new classifier, the order and the dropout."""
        return self.training.seed

    def dotted_settings(self) -> dict[str, Any]:
        """Return the settings used, by the keys that a user types."""
        return _dotted("teacher", self.training)


class TeacherStatesSpec(Section):
    """The teacher's logits and [CLS] states of every training example."""

    kind: ClassVar[StageKind] = StageKind.STATES
    states: StatesConfig


class TransferSpec(Section):
    """Unlabelled texts and varied copies of training examples, as tokens; `metrics` and labels are no part of it."""

    kind: ClassVar[StageKind] = StageKind.TRANSFER
    task: FileShape
    tokens: Annotated[TokensConfig, _ADDRESSED]
    transfer: Annotated[TransferConfig, _ADDRESSED]


class DistillSpec(Section):
    """The loss with the teacher's logits (vanilla KD)."""

    alpha: float
    temperature: float
    distillation_reduction: Reduction
    distillation_loss: DistillationLoss = "kl"
    dkd_target_weight: float = 1.0
    dkd_other_weight: float = 8.0

    def dotted_settings(self) -> dict[str, Any]:
        """Return the settings that the loss reads, and its name unless it is the paper's."""
        dotted = _dotted("distill", self)
        if self.distillation_loss == "kl":
            del dotted["distill.distillation_loss"]
        return {key: value for key, value in dotted.items() if loss_reads(self.distillation_loss, key)}


class PatientDistillSpec(DistillSpec):
    """The loss with the teacher's logits and its [CLS] states (patient KD)."""

    beta: float
    normalize: bool
    patience_reduction: Reduction


class FullDistillSpec(DistillSpec):
    """The loss with the teacher's logits, of the student's classifier and of heads on its inner layers (kd.full)."""

    first_head_layer: int
    head_weight: float


class StudentSpec(Section):
    """Training a student.

    Plain fine-tuning has none of `distill`, `layer_map` and `transfer`, and its JSON leaves them out.
    """

    kind: ClassVar[StageKind] = StageKind.STUDENT
    method: Method
    num_layers: int
    seed: int
    metric: str
    training: Annotated[StudentConfig, _ADDRESSED]
    initial_layers: tuple[int, ...]
    distill: Annotated[PatientDistillSpec | FullDistillSpec | DistillSpec, _ADDRESSED] | None = None
    layer_map: LayerMap | None = None
    transfer: Annotated[TransferConfig, _ADDRESSED] | None = None

    def dotted_settings(self) -> dict[str, Any]:
        """Return the settings used, by the keys that a user types, and the layer map."""
        dotted = _dotted("student", self.training)
        if self.distill:
            dotted |= self.distill.dotted_settings()
        if self.transfer:
            dotted |= _dotted("transfer", self.transfer)
        if self.layer_map:
            dotted["layer_map"] = " ".join(f"{student}<-{teacher}" for student, teacher in self.layer_map)
        return dotted

    @model_serializer(mode="wrap")
    def _without_absent_parts(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_none(serialize(self))


class SpeedSpec(Section):
    """Timing a depth against the teacher's on one machine; it reads no trained model."""

    kind: ClassVar[StageKind] = StageKind.SPEED
    num_layers: int
    num_teacher_layers: int
    machine: str
    speed: SpeedConfig


class EvaluationSpec(Section):
    """Scoring one trained model; `seed` is None for the teacher."""

    kind: ClassVar[StageKind] = StageKind.EVALUATION
    method: Literal["teacher"] | Method
    num_layers: int
    seed: int | None
    metrics: tuple[str, ...]
    evaluation: EvaluationConfig


class DistancesSpec(Section):
    """Comparing a student's [CLS] states with its teacher's, before and after its training."""

    kind: ClassVar[StageKind] = StageKind.DISTANCES
    num_layers: int


class StudentBase(Section):
    """The students' own pretrained model: its name without its folder's path, its weights' hash, and its depth.

    `remark` is how its tokenizer differs from the teacher's, as a sentence.
    """

    name: str
    digest: str
    num_layers: int
    remark: str


class ReportSpec(Section):
    """Comparing the evaluations of a run: each one's preset by its stage's key, and the stages that failed.

    `base_model` is the pretrained model's name, without its folder's path, and `base_model_digest` its weights' hash;
    without a `student_base`, the students are taken from it too, and the JSON leaves that out.
    """

    kind: ClassVar[StageKind] = StageKind.REPORT
    base_model: str
    base_model_digest: str
    presets: dict[str, str]
    failures: dict[str, str]
    student_base: StudentBase | None = None

    @model_serializer(mode="wrap")
    def _without_absent_base(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in serialize(self).items() if value is not None}


TrainingSpec = TeacherSpec | StudentSpec
StageSpec = (
    TokensSpec
    | TeacherSpec
    | OwnTeacherSpec
    | TeacherStatesSpec
    | TransferSpec
    | StudentSpec
    | SpeedSpec
    | EvaluationSpec
    | DistancesSpec
    | ReportSpec
    | SearchSpec
    | ExportSpec
    | LatencyCandidatesSpec
    | LatencySpec
    | CardSpec
)


def distill_spec(method: Method, distill: DistillConfig) -> DistillSpec | None:
    """Return what a method reads of the distillation settings: nothing else is part of its address."""
    values = distill.model_dump()
    kind: type[DistillSpec]
    match method:
        case "finetune":
            return None
        case "kd":
            kind = DistillSpec
        case "kd.full":
            kind = FullDistillSpec
        case "pkd-skip" | "pkd-last":
            kind = PatientDistillSpec
    return kind.model_validate({key: values[key] for key in kind.model_fields})


def parse_training_spec(config: Mapping[str, Any]) -> TrainingSpec:
    """Read a training's specification from its manifest.

    Raises:
        pydantic.ValidationError: If the manifest is of an older specification.
    """
    kind = TeacherSpec if config.get("method") == "teacher" else StudentSpec
    return kind.model_validate({key: value for key, value in config.items() if key != THREADS})


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _dotted(section: str, values: Section) -> dict[str, Any]:
    # Sorted, as in every evaluation.json that was published so far. Not the JSON of an address, which omits defaults.
    fields = sorted(type(values).model_fields)
    dotted = {f"{section}.{key}": getattr(values, key) for key in fields}
    return {key: value for key, value in dotted.items() if not key.endswith(".standardize_scores") or value}
