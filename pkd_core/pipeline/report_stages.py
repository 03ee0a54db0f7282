"""The stage that reports a run: which evaluations it compares, and where their settings come from."""

from collections.abc import Mapping, Sequence

from pkd_core.config.presets import Preset, preset_for
from pkd_core.config.settings import RunConfig
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.models import Models
from pkd_core.pipeline.specs import EvaluationSpec, ReportSpec, StudentBase
from pkd_core.pipeline.stage import Stage, make_stage

_OWN_TEACHER = "given, not trained here"


def report_stage(
    run: RunConfig, stages: Sequence[Stage], failures: Mapping[str, str], models: Models
) -> Stage:
    """Return the report over the evaluations among some stages, naming the stages that failed and why."""
    evaluations = [stage for stage in stages if stage.kind is StageKind.EVALUATION]
    presets = {stage.key: describe_preset(run, stage, models) for stage in evaluations}
    return report_over(presets, stages, failures, models)


def report_over(
    presets: Mapping[str, str], stages: Sequence[Stage], failures: Mapping[str, str], models: Models
) -> Stage:
    """Return the report over some stages of one run or several, given where each evaluation's settings come from.

    It reads the evaluations, and the trainings and the distances of their models, if these are among the stages too.
    """
    evaluations = [stage for stage in stages if stage.kind is StageKind.EVALUATION]
    evaluated = {stage.inputs["model"] for stage in evaluations}
    spec = ReportSpec(
        base_model=models.teacher_name,
        base_model_digest=models.teacher_digest,
        presets=dict(presets),
        failures=dict(failures),
        student_base=_student_base(models),
    )
    inputs = {
        stage.key: stage
        for stage in stages
        if stage.kind in (StageKind.EVALUATION, StageKind.DISTANCES)
        or (stage.key in evaluated and stage.kind is not StageKind.OWN_TEACHER)
    }
    return make_stage("reports", "report", spec, inputs, {})


def describe_preset(run: RunConfig, evaluation: Stage, models: Models) -> str:
    """Return where the settings of an evaluation's model come from."""
    spec = evaluation.spec
    assert isinstance(spec, EvaluationSpec), evaluation.key
    if spec.method == "teacher" and models.own_teachers:
        return _OWN_TEACHER
    preset = preset_of(evaluation.task, spec.method, spec.num_layers, models)
    changed = sorted(key for key in run.settings if key in preset.settings)
    return preset.source + (f", but for {', '.join(changed)}" if changed else "")


def preset_of(task: str, method: str, num_layers: int, models: Models) -> Preset:
    """Return the published settings nearest to a model of a run."""
    return preset_for(task, method, num_layers, models.num_teacher_layers, models.student.num_layers)


def _student_base(models: Models) -> StudentBase | None:
    model = models.student_base
    if model is None:
        return None
    return StudentBase(
        name=model.short_name, digest=model.weights, num_layers=model.num_layers, remark=models.remark
    )
