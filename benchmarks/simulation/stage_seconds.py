"""How long a stage computes on an H100, from the steps that docs/benchmarks.md has; what is assumed says so."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.glue_sizes import GLUE_SIZES, TaskSize
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.specs import (
    DistancesSpec,
    EvaluationSpec,
    SpeedSpec,
    StudentSpec,
    TeacherSpec,
    TeacherStatesSpec,
    TokensSpec,
)
from pkd_core.pipeline.stage import Stage

_BATCH = 32
_TEACHER_LAYERS, _MEASURED_LAYERS = 12, 6
# Assumed: a forward pass alone, of a training step's time.
_FORWARD = 1 / 3
# A row of teacher states of BERT-base: 12 [CLS] states of 768 in float16.
STATE_BYTES = 12 * 768 * 2
# Measured (design notes): bytes a second that are written to a disk and synchronised; rows a second of the tokenizer.
_WRITTEN, _TOKENIZED = 0.3e9, 26_000
# Assumed, in seconds: a report, with its figure.
_REPORT = 5.0
# Values that are logged for each step: losses, their sum, learning rate.
_POINTS: Mapping[str, int] = {"teacher": 3, "finetune": 3, "kd": 4, "pkd-skip": 5, "pkd-last": 5}


@dataclass(frozen=True)
class StepTimes:
    """Measured milliseconds of a training step of 32 rows.

    Attributes:
        teacher: Fine-tuning 12 layers.
        finetune: Fine-tuning 6 layers.
        distill: Distilling 6 layers.
    """

    teacher: float
    finetune: float
    distill: float

    def seconds(self, num_layers: int, distilled: bool) -> float:
        """Return a step's seconds at any depth, which is assumed to change them evenly."""
        per_layer = (self.teacher - self.finetune) / (_TEACHER_LAYERS - _MEASURED_LAYERS)
        beyond = self.distill - self.finetune if distilled else 0.0
        return (self.finetune + per_layer * (num_layers - _MEASURED_LAYERS) + beyond) / 1000


# By the task whose lengths were measured; of two figures the mean.
H100: Mapping[str, StepTimes] = {
    "SST-2": StepTimes(5.32, 3.15, 3.31),
    "MRPC": StepTimes(6.49, 3.71, 3.835),
    "RTE": StepTimes(7.62, 4.02, 4.36),
}


def compute_seconds(stage: Stage, is_held_out: bool) -> float:
    """Return the seconds that a stage computes, without its process's start.

    Args:
        stage: A stage of a search.
        is_held_out: Whether a tenth of the training rows stands for the dev split, and there is no test split.
    """
    if stage.task not in GLUE_SIZES:
        return _REPORT
    size, times = _rows(GLUE_SIZES[stage.task], is_held_out), H100[GLUE_SIZES[stage.task].like]
    match stage.spec:
        case TokensSpec():
            seconds = (size.train + size.dev + size.test) / _TOKENIZED
        case TeacherSpec(num_layers=layers, training=training):
            seconds = _training(size, times, layers, training.num_epochs, distilled=False)
        case StudentSpec(num_layers=layers, training=training, distill=distill):
            seconds = _training(size, times, layers, training.num_epochs, distilled=distill is not None)
        case TeacherStatesSpec():
            seconds = max(_forward(times, _TEACHER_LAYERS, size.train), size.train * STATE_BYTES / _WRITTEN)
        case EvaluationSpec(num_layers=layers):
            seconds = _forward(times, layers, size.dev + size.test)
        case DistancesSpec(num_layers=layers):
            seconds = _forward(times, layers + _TEACHER_LAYERS, size.dev)
        case SpeedSpec(speed=settings):
            seconds = settings.max_seconds
        case _:
            raise AssertionError(f"no time is known for {stage.key}")
    return seconds


def logged_points(stage: Stage, is_held_out: bool) -> int:
    """Return how many values of metrics a stage sends to MLflow while it computes."""
    if stage.kind not in (StageKind.TEACHER, StageKind.STUDENT):
        return 0
    assert isinstance(stage.spec, TeacherSpec | StudentSpec)
    num_steps = _num_steps(_rows(GLUE_SIZES[stage.task], is_held_out).train, stage.spec.training.num_epochs)
    return num_steps * _POINTS[stage.spec.method]


def state_bytes(task: str) -> int:
    """Return the size of a task's teacher states."""
    return GLUE_SIZES[task].train * STATE_BYTES


def _rows(size: TaskSize, is_held_out: bool) -> TaskSize:
    held_out = size.train // 10
    return TaskSize(size.train - held_out, held_out, 0, size.like) if is_held_out else size


def _num_steps(num_rows: int, num_epochs: int) -> int:
    return num_epochs * -(-num_rows // _BATCH)


def _training(size: TaskSize, times: StepTimes, num_layers: int, num_epochs: int, distilled: bool) -> float:
    steps = _num_steps(size.train, num_epochs) * times.seconds(num_layers, distilled)
    return steps + num_epochs * _forward(times, num_layers, size.dev)


def _forward(times: StepTimes, num_layers: int, num_rows: int) -> float:
    return num_rows / _BATCH * _FORWARD * times.seconds(num_layers, distilled=False)
