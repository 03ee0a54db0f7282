"""How long the trainings of a compression will take: by earlier runs here, else by some measured training steps."""

from pkd_core.data.task import Task
from pkd_core.pipeline.estimate import estimate_seconds
from pkd_core.pipeline.facts import TokensFacts
from pkd_core.pipeline.forecast import forecast_seconds
from pkd_core.pipeline.models import PretrainedModel
from pkd_core.pipeline.plan import Plan
from pkd_core.pipeline.sources import UNLABELLED
from pkd_core.pipeline.specs import StudentSpec, TeacherSpec, TokensSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.pipeline.step_times import StepTimes, measure_step_times
from pkd_core.runtime.device import find_device
from pkd_core.store.catalog import local_copy, published_manifest


def trains(plan: Plan) -> bool:
    """Return whether a plan has a training to do."""
    return any(isinstance(planned.stage.spec, TeacherSpec | StudentSpec) for planned in plan.todo)


def seconds_to_go(plan: Plan, num_unlabelled: int, device: str) -> float:
    """Return how long a plan will take, once its tokens are there; some training steps are measured for it.

    Args:
        plan: The trainings of one task.
        num_unlabelled: Texts without labels that students learn from too.
        device: What computes.

    Raises:
        PkdError: The tokens cannot be read, or the model or the device cannot be used.
    """
    where = find_device(device)
    known = estimate_seconds(plan, where)
    unknown = [
        planned.stage
        for planned in plan.todo
        if isinstance(planned.stage.spec, TeacherSpec | StudentSpec) and planned.stage.key not in known
    ]
    if not unknown:
        return sum(known.values())
    tokens = [planned.stage for planned in plan.stages if isinstance(planned.stage.spec, TokensSpec)]
    (task,) = plan.tasks.values()
    times: dict[str, StepTimes] = {}
    for stage in unknown:
        model = stage.student_model or plan.model
        if model.weights not in times:
            times[model.weights] = _times(plan, stage, model, task, tokens, device)
    facts = TokensFacts.model_validate(published_manifest(plan.workspace / tokens[0].address.folder).facts)
    forecast = forecast_seconds(plan, {**facts.rows, UNLABELLED: num_unlabelled}, times)
    return sum((forecast | known).values())


def _times(
    plan: Plan, stage: Stage, model: PretrainedModel, task: Task, tokens: list[Stage], device: str
) -> StepTimes:
    assert isinstance(stage.spec, TeacherSpec | StudentSpec), stage.key
    (read,) = (one for one in tokens if one.key == stage.inputs["tokens"])
    return measure_step_times(
        model.folder,
        model.num_layers,
        task,
        local_copy(plan.workspace / read.address.folder),
        stage.spec.training,
        find_device(device),
        stage.threads or 1,
    )
