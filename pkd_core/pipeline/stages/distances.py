"""Stage: how far a student's [CLS] states are from its teacher's, layer by layer, before and after its training."""

from collections.abc import Iterator
from statistics import fmean

import torch
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.distances import cls_states, mean_distances, sample_rows
from pkd_core.evaluation.distances_result import Distances, LayerDistance, write_distances
from pkd_core.method.layer_map import LayerMap, same_depth
from pkd_core.model.loading import load_classifier
from pkd_core.pipeline.facts import DistancesFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import StudentSpec, parse_training_spec
from pkd_core.pipeline.stages.student import untrained_student
from pkd_core.teacher_states.reader import TeacherStates


def compare_with_teacher(job: Job) -> DistancesFacts:
    """Write `distances.json`: each student layer against the teacher's at the same depth, and against its matched one.

    It is without layers where the states' widths differ: what projects them is not kept after the training.
    """
    student = parse_training_spec(job.manifests["model"].config)
    assert isinstance(student, StudentSpec), job.stage.key
    table = TokenTable.load(job.inputs["tokens"], "train")
    states = TeacherStates.open(job.inputs["states"])
    layers = _measure(job, student, table, states)
    write_distances(job.work, Distances(len(sample_rows(len(table))), layers))
    if not layers:
        return DistancesFacts(before=None, after=None)
    return DistancesFacts(
        before=fmean(layer.before for layer in layers), after=fmean(layer.after for layer in layers)
    )


def _measure(job: Job, student: StudentSpec, table: TokenTable, states: TeacherStates) -> list[LayerDistance]:
    matched: LayerMap = student.layer_map or ()
    pairs = sorted({*same_depth(student.num_layers, states.shape.num_layers), *matched})
    rows = sample_rows(len(table))
    example_ids = torch.from_numpy(table.example_ids_R[rows])
    teacher_RMD = states.gather(example_ids, [layer for _, layer in pairs]).cls_states_BMD
    job.observer.progress(0, 2, "models")
    distances = []
    for model in _before_and_after(job, student):
        student_RND = cls_states(model, table, rows, job.context.device)
        if student_RND.shape[-1] != teacher_RMD.shape[-1]:
            return []
        student_RMD = student_RND[:, [layer - 1 for layer, _ in pairs]]
        distances.append(mean_distances(student_RMD, teacher_RMD, model.config.hidden_size))
        job.observer.progress(len(distances), 2, "models")
    before, after = distances
    return [
        LayerDistance(student_layer, teacher_layer, (student_layer, teacher_layer) in matched, *values)
        for (student_layer, teacher_layer), *values in zip(pairs, before, after, strict=True)
    ]


def _before_and_after(job: Job, student: StudentSpec) -> Iterator[BertForSequenceClassification]:
    yield untrained_student(job, student)
    yield load_classifier(job.inputs["model"])
