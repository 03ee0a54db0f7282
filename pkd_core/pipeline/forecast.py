"""How long a first run will take, from the measured time of a training step."""

from collections.abc import Mapping

from pkd_core.config.transfer_settings import TransferConfig
from pkd_core.pipeline.estimate import part_to_do
from pkd_core.pipeline.latency_specs import LatencyCandidatesSpec, LatencySpec
from pkd_core.pipeline.plan import Plan
from pkd_core.pipeline.sources import UNLABELLED
from pkd_core.pipeline.specs import (
    EvaluationSpec,
    SpeedSpec,
    StudentSpec,
    TeacherSpec,
    TeacherStatesSpec,
    TransferSpec,
)
from pkd_core.pipeline.stage import Stage
from pkd_core.pipeline.step_times import StepTimes

_TRAIN, _DEV, _TRANSFER = "train", "dev", "transfer set"
_NOT_EVALUATED = (_TRAIN, UNLABELLED, _TRANSFER)


def forecast_seconds(plan: Plan, rows: Mapping[str, int], times: Mapping[str, StepTimes]) -> dict[str, float]:
    """Return the seconds that stages to do will take, by their keys, without those of which nothing is known.

    It holds for one stage at a time, with the machine as busy as when the steps were measured. What earlier runs took
    is better known: `forecast_seconds(...) | estimate_seconds(...)`.

    Args:
        plan: The run of one task.
        rows: Examples of each split; of unlabelled texts under "unlabelled".
        times: What a training step takes for each pretrained model, by the hash of its weights.
    """
    specs = [planned.stage.spec for planned in plan.stages]
    transfers = [spec.transfer for spec in specs if isinstance(spec, TransferSpec)]
    rows = {**rows, _TRANSFER: _transfer_rows(transfers[0], rows) if transfers else 0}
    forecast: dict[str, float] = {}
    for planned in plan.todo:
        stage = planned.stage
        model = stage.student_model or plan.model
        if model.weights not in times or (_runs_teacher(stage) and _is_unlike_students(plan)):
            continue
        seconds = _seconds(stage, model.num_layers, rows, times[model.weights])
        if seconds is not None:
            forecast[stage.key] = seconds * part_to_do(planned)
    return forecast


def _runs_teacher(stage: Stage) -> bool:
    spec = stage.spec
    return isinstance(spec, TeacherStatesSpec) or (
        isinstance(spec, EvaluationSpec) and spec.method == "teacher"
    )


def _is_unlike_students(plan: Plan) -> bool:
    """Return whether the teacher is the user's own, and no model that students are taken from."""
    return bool(plan.models.own_teachers) and plan.models.student_base is not None


def _seconds(stage: Stage, depth: int, rows: Mapping[str, int], times: StepTimes) -> float | None:
    """Return the seconds of a stage; None if they are not known.

    Args:
        stage: The stage.
        depth: Layers of its pretrained model, as many as the teacher has.
        rows: Examples by split, and of the transfer set.
        times: Those of its pretrained model.
    """
    match stage.spec:
        case TeacherSpec(num_layers=layers, training=training):
            return _training(layers, training.num_epochs, rows[_TRAIN], rows[_DEV], times)
        case StudentSpec(num_layers=layers, training=training, transfer=transfer):
            num_examples = rows[_TRAIN] + (rows[_TRANSFER] if transfer else 0)
            return _training(layers, training.num_epochs, num_examples, rows[_DEV], times)
        case TeacherStatesSpec():
            return times.forward(depth, rows[_TRANSFER if "transfer" in stage.inputs else _TRAIN])
        case EvaluationSpec(num_layers=layers):
            return times.forward(layers, sum(rows[split] for split in rows if split not in _NOT_EVALUATED))
        case (
            SpeedSpec(speed=settings)
            | LatencyCandidatesSpec(latency=settings)
            | LatencySpec(latency=settings)
        ):
            return settings.max_seconds
        case _:
            return None


def _training(layers: int, num_epochs: int, num_train: int, num_dev: int, times: StepTimes) -> float:
    epoch = times.training(layers, num_train) + times.forward(layers, num_dev)
    return num_epochs * epoch


def _transfer_rows(transfer: TransferConfig, rows: Mapping[str, int]) -> int:
    """Return the number of unlabelled texts and copies that students learn from."""
    unlabelled = rows.get(UNLABELLED, 0) if transfer.unlabelled else 0
    return unlabelled + transfer.num_copies * rows[_TRAIN]
