"""`pkd plan`: which stages a run has, which are done, why the others are not, and how long they will take."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from flows.cli.listing import show_json, show_rows, show_text
from flows.cli.quantities import duration
from flows.prepare import check_data
from flows.request import Request
from flows.workspace import check_addressable
from pkd_core.pipeline.estimate import estimate_seconds
from pkd_core.pipeline.models import PretrainedModel
from pkd_core.pipeline.own_teachers import OwnTeacher
from pkd_core.pipeline.plan import Plan, PlannedStage, make_plan
from pkd_core.pipeline.task_data import bring_data
from pkd_core.runtime.device import find_device
from pkd_core.store.stage_store import StageStatus

_STYLES = {
    StageStatus.DONE: "green",
    StageStatus.MISSING: "yellow",
    StageStatus.DAMAGED: "red",
    StageStatus.STALE: "magenta",
}


def show_plan(request: Request, as_json: bool) -> None:
    """Plan a run, and show it.

    Raises:
        PkdError: The plan cannot be made, or the data of a task that is to be tokenised are wrong.
    """
    check_addressable(request.workspace)
    bring_data(request.workspace, request.run.tasks)
    plan = make_plan(request.run, request.workspace, request.options.deep, request.options.device)
    plan.check_cache(request.options)
    check_data(plan)
    device = request.options.device
    if as_json:
        of_student = _json_model(plan.models.other) if plan.models.other else None
        teachers = [_json_teacher(teacher) for teacher in plan.models.own_teachers]
        models = {"model": _json_model(plan.model), "student_model": of_student, "teachers": teachers}
        show_json(models | json_stages([plan], device))
        return
    for teacher in plan.models.own_teachers:
        family, num_layers = teacher.settings.model_type, teacher.settings.num_layers
        show_text(f"teacher: {teacher.name} ({family}, {num_layers} layers, files {teacher.digest[:12]})")
    whose = "students' model" if plan.models.own_teachers else "model"
    show_text(f"{whose}: {_describe(plan.model)}")
    if plan.models.other:
        show_text(f"students' model: {_describe(plan.models.other)}")
    if plan.models.remark:
        show_text(plan.models.remark)
    show_stages([plan], device)


def show_stages(plans: Sequence[Plan], device: str) -> None:
    """Show the stages of some plans as a table, and how long they will take.

    Args:
        plans: In the order in which they run; a stage of several is shown once.
        device: What they compute on.
    """
    stages, estimates = _stages(plans), _estimates(plans, device)
    rows = [_row(one, estimates) for one in stages]
    show_rows(("stage", "status", "time", "why", "fingerprint"), rows, num_names=2, optional=["fingerprint"])
    show_text(_summary(stages, estimates))


def json_stages(plans: Sequence[Plan], device: str) -> dict[str, Any]:
    """Return the same as JSON values."""
    stages, estimates = _stages(plans), _estimates(plans, device)
    return {
        "stages": [_json_stage(one, estimates.get(one.stage.key)) for one in stages],
        "counts": _counts(stages),
        "estimated_seconds": round(sum(estimates.values()), 1) if estimates else None,
    }


def _stages(plans: Sequence[Plan]) -> list[PlannedStage]:
    return list({one.stage.key: one for plan in plans for one in plan.stages}.values())


def _estimates(plans: Sequence[Plan], device: str) -> dict[str, float]:
    estimates: dict[str, float] = {}
    for plan in plans:
        if plan.todo:
            estimates |= estimate_seconds(plan, find_device(device))
    return estimates


def _describe(model: PretrainedModel) -> str:
    return f"{model.name} ({model.num_layers} layers, weights {model.weights[:12]})"


def _row(one: PlannedStage, estimates: Mapping[str, float]) -> list[str | Text]:
    key = one.stage.key
    time = duration(estimates[key]) if key in estimates else ""
    return [key, Text(one.status.value, _STYLES[one.status]), time, one.reason, one.stage.fingerprint]


def _summary(stages: Sequence[PlannedStage], estimates: Mapping[str, float]) -> str:
    parts = ", ".join(f"{number} {status}" for status, number in _counts(stages).items())
    time = f"; {duration(sum(estimates.values()))} by earlier runs here" if estimates else ""
    num_todo = sum(one.status is not StageStatus.DONE for one in stages)
    part = f", for {len(estimates)} of {num_todo} to do" if 0 < len(estimates) < num_todo else ""
    return f"{len(stages)} stages: {parts}{time}{part}"


def _counts(stages: Sequence[PlannedStage]) -> dict[str, int]:
    return dict(sorted(Counter(one.status.value for one in stages).items()))


def _json_model(model: PretrainedModel) -> dict[str, Any]:
    return {"name": model.name, "num_layers": model.num_layers, "weights": model.weights}


def _json_teacher(teacher: OwnTeacher) -> dict[str, Any]:
    settings = teacher.settings
    return {
        "name": teacher.name,
        "family": settings.model_type,
        "num_layers": settings.num_layers,
        "files": teacher.digest,
    }


def _json_stage(one: PlannedStage, seconds: float | None) -> dict[str, Any]:
    position = one.position
    return {
        "stage": one.stage.key,
        "kind": one.stage.kind.value,
        "status": one.status.value,
        "reason": one.reason,
        "resumes_at": {"step": position.step, "num_steps": position.num_steps} if position else None,
        "estimated_seconds": None if seconds is None else round(seconds, 1),
        "folder": one.stage.address.folder.as_posix(),
        "fingerprint": one.stage.fingerprint,
    }
