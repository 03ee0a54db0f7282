"""Computes a stage, whatever its kind, in this process."""

from pkd_core.pipeline.card_specs import CardSpec
from pkd_core.pipeline.export_specs import ExportSpec
from pkd_core.pipeline.facts import Facts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.latency_specs import LatencyCandidatesSpec, LatencySpec
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec
from pkd_core.pipeline.search_specs import SearchSpec
from pkd_core.pipeline.specs import (
    DistancesSpec,
    EvaluationSpec,
    ReportSpec,
    SpeedSpec,
    StudentSpec,
    TeacherSpec,
    TeacherStatesSpec,
    TokensSpec,
    TransferSpec,
)
from pkd_core.pipeline.stages.card import write_card
from pkd_core.pipeline.stages.distances import compare_with_teacher
from pkd_core.pipeline.stages.evaluation import evaluate
from pkd_core.pipeline.stages.export import export_model
from pkd_core.pipeline.stages.latency import time_candidates, time_models
from pkd_core.pipeline.stages.own_teacher import take_own_teacher
from pkd_core.pipeline.stages.report import write_run_report
from pkd_core.pipeline.stages.search import report_search
from pkd_core.pipeline.stages.speed import time_depth
from pkd_core.pipeline.stages.student import train_student
from pkd_core.pipeline.stages.teacher import train_teacher
from pkd_core.pipeline.stages.teacher_states import extract_states
from pkd_core.pipeline.stages.tokens import tokenize
from pkd_core.pipeline.stages.transfer_set import make_transfer_set
from pkd_core.runtime.threads import computing_with


def compute(job: Job) -> Facts:
    """Compute a stage into its work folder, with the threads that it declares, and return what it reports."""
    with computing_with(job.stage.threads):
        return _compute(job)


def _compute(job: Job) -> Facts:
    facts: Facts
    match job.stage.spec:
        case TokensSpec() as spec:
            facts = tokenize(job, spec)
        case TeacherSpec() as spec:
            facts = train_teacher(job, spec)
        case OwnTeacherSpec() as spec:
            facts = take_own_teacher(job, spec)
        case TeacherStatesSpec() as spec:
            facts = extract_states(job, spec)
        case TransferSpec() as spec:
            facts = make_transfer_set(job, spec)
        case StudentSpec() as spec:
            facts = train_student(job, spec)
        case spec:
            facts = _measure(job, spec)
    return facts


def _measure(
    job: Job,
    spec: SpeedSpec
    | EvaluationSpec
    | DistancesSpec
    | ExportSpec
    | LatencyCandidatesSpec
    | LatencySpec
    | ReportSpec
    | SearchSpec
    | CardSpec,
) -> Facts:
    """Compute a stage that measures or reports what others have made."""
    facts: Facts
    match spec:
        case SpeedSpec():
            facts = time_depth(job, spec)
        case EvaluationSpec():
            facts = evaluate(job, spec)
        case DistancesSpec():
            facts = compare_with_teacher(job)
        case ReportSpec():
            facts = write_run_report(job, spec)
        case SearchSpec():
            facts = report_search(job, spec)
        case ExportSpec():
            facts = export_model(job, spec)
        case LatencyCandidatesSpec():
            facts = time_candidates(job, spec)
        case LatencySpec():
            facts = time_models(job, spec)
        case CardSpec():
            facts = write_card(job, spec)
    return facts
