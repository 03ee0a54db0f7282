"""Stage: what a compression brought, as a page, a model card, JSON and a table for terminals."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np

from pkd_core.data.examples import read_split
from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.answers import AnswerTable, read_answers
from pkd_core.evaluation.metrics import majority_baseline
from pkd_core.evaluation.result import read_result
from pkd_core.export.bundle_predict import FLOAT32, INT8
from pkd_core.export.result import int8_answers, read_export
from pkd_core.latency.result import Format, LatencyResult, read_latency
from pkd_core.pipeline.card_specs import CardSpec
from pkd_core.pipeline.card_stages import LATENCY, TOKENS
from pkd_core.pipeline.facts import CardFacts, TokensFacts
from pkd_core.pipeline.job import Job
from pkd_core.report.compression.content import Compression, DataLook, Machine, Training
from pkd_core.report.compression.data_look import look_at_data
from pkd_core.report.compression.distilling import compare_with_finetuning
from pkd_core.report.compression.examples import disagreements, fallen_classes
from pkd_core.report.compression.models import EvaluatedModel, final_metric, final_split
from pkd_core.report.compression.variants import compare_variants
from pkd_core.report.compression.write import write_compression

_LIBRARIES = ("pkd", "torch", "transformers", "tokenizers")


def write_card(job: Job, spec: CardSpec) -> CardFacts:
    """Write `compression.json`, `compression.html`, `compression.txt` and `README.md`."""
    teacher, student, *others = (_model(job, spec, key) for key in (spec.teacher, spec.student, *spec.others))
    assert all(_same_examples(teacher, one) for one in (student, *others)), "all answered the same split"
    latency = read_latency(job.inputs[LATENCY]) if LATENCY in job.inputs else None
    made = _compression(job, spec, teacher, student, others, latency)
    write_compression(job.work, made)
    assert made.student.score is not None and made.teacher.score is not None, "both were evaluated"
    return CardFacts(teacher_score=made.teacher.score, score=made.student.score, format=made.deployed)


def _compression(
    job: Job,
    spec: CardSpec,
    teacher: EvaluatedModel,
    student: EvaluatedModel,
    others: Sequence[EvaluatedModel],
    latency: LatencyResult | None,
) -> Compression:
    task, labels_R = job.task, teacher.answers.labels_R
    metric, split = final_metric(teacher), final_split(teacher.result)
    deployed = _deployed(spec.deploy_format, student)
    answers = student.answers
    if deployed == "onnx-int8" and student.int8_answers is not None:
        answers = student.int8_answers
    return Compression(
        task=task.name,
        text_columns=task.text_columns,
        labels=task.labels,
        is_multi_label=task.multi_label,
        metric=metric,
        split=split,
        num_examples=len(labels_R),
        baseline=majority_baseline(labels_R, metric, task.is_regression),
        variants=compare_variants(teacher, student, others, latency.rows if latency else ()),
        distilling=compare_with_finetuning(student, others),
        deployed=deployed,
        budget_ms=spec.budget_ms,
        machine=Machine(latency.machine, latency.threads, latency.busy) if latency else None,
        data=_data(job),
        classes=fallen_classes(teacher.answers, answers, task.labels),
        disagreements=disagreements(teacher.answers, answers, task.labels, _texts(job, split)),
        training=_training(spec, teacher, student),
        versions=_versions(job, spec),
        command=job.context.command,
        labelled_by=task.labelled_by,
    )


def _model(job: Job, spec: CardSpec, key: str) -> EvaluatedModel:
    """Return an evaluated model, with what was exported of it."""
    result = read_result(job.inputs[key])
    split = final_split(result)
    answers = read_answers(job.inputs[key], split)
    name = job.manifests[key].stage.removeprefix("evaluation-")
    sizes: dict[Format, int | None] = {"torch-float32": result.size_bytes}
    if key not in spec.exports:
        return EvaluatedModel(name, result, answers, sizes)
    folder = job.inputs[spec.exports[key]]
    export = read_export(folder)
    sizes |= {"onnx-float32": export.bytes[FLOAT32], "onnx-int8": export.bytes.get(INT8)}
    int8 = read_answers(folder, int8_answers(split)) if export.has_int8 else None
    return EvaluatedModel(name, result, answers, sizes, int8, export.refused)


def _same_examples(first: EvaluatedModel, second: EvaluatedModel) -> bool:
    tables: list[AnswerTable] = [
        table for table in (second.answers, second.int8_answers, first.int8_answers) if table is not None
    ]
    return all(np.array_equal(first.answers.example_ids_R, table.example_ids_R) for table in tables)


def _deployed(wanted: Format, student: EvaluatedModel) -> Format:
    """Return the format to be used: the one that was asked for, if it exists."""
    if student.sizes.get(wanted) is not None:
        return wanted
    return "onnx-float32" if "onnx-float32" in student.sizes else "torch-float32"


def _data(job: Job) -> DataLook:
    facts = job.input_facts(TOKENS, TokensFacts)
    train = TokenTable.load(job.inputs[TOKENS], "train")
    return look_at_data(train, facts.rows, job.task.labels, facts.max_length)


def _texts(job: Job, split: str) -> Mapping[int, Sequence[str]]:
    one = job.task.split(split)
    return {
        example.example_id: example.texts
        for example in read_split(job.data_raw / one.file, job.task, one, [])
    }


def _versions(job: Job, spec: CardSpec) -> dict[str, str]:
    """Return the versions of what runs here, and of what the student was exported with."""
    versions = {"Python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}
    if spec.student in spec.exports:
        versions |= read_export(job.inputs[spec.exports[spec.student]]).versions
    return versions


def _training(spec: CardSpec, teacher: EvaluatedModel, student: EvaluatedModel) -> Training:
    assert student.result.best_epoch is not None, "the student was trained here"
    return Training(
        teacher=spec.teacher_name,
        has_own_teacher=spec.has_own_teacher,
        student_base=_first_weights(spec, student),
        settings=student.result.settings,
        teacher_settings={} if spec.has_own_teacher else teacher.result.settings,
        best_epoch=student.result.best_epoch,
        precision=student.result.precision,
    )


def _first_weights(spec: CardSpec, student: EvaluatedModel) -> str:
    init = student.result.settings["student.init"]
    return spec.student_base if init == "pretrained-first" else f"the teacher ({init})"
