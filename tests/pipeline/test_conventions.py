"""What each convention changes of a run, and that the default one keeps the addresses that were published before."""

import pytest
from test_dag import dag

from pkd_core.pipeline.specs import PatientDistillSpec, StudentSpec, TeacherSpec, TokensSpec
from pkd_core.pipeline.stage import Stage

# Computed before there were conventions.
ADDRESSES = {
    "tokens": "29066987cfe4d13a",
    "teacher": "a532c7a953df80c3",
    "teacher-states": "054e717a6961bc2e",
    "finetune-3l-s1": "6598276813c0c41d",
    "kd-3l-s1": "8feadd0487dc4744",
    "pkd-skip-3l-s1": "aaa8bd4212b556d4",
    "pkd-last-3l-s1": "c167fcb40c9b5062",
}


def student(stages: dict[str, Stage], name: str) -> StudentSpec:
    spec = stages[f"RTE/{name}"].spec
    assert isinstance(spec, StudentSpec)
    return spec


@pytest.mark.parametrize("convention", [{}, {"convention": "default"}])
def test_the_default_keeps_published_addresses(convention: dict[str, str]) -> None:
    stages = dag(student_layers=[3], **convention)
    assert {name: stages[f"RTE/{name}"].fingerprint for name in ADDRESSES} == ADDRESSES


def test_the_authors_convention_trains_as_their_code_does() -> None:
    stages = dag(student_layers=[3], convention="authors")
    tokens, teacher = stages["RTE/tokens"].spec, stages["RTE/teacher"].spec
    assert isinstance(tokens, TokensSpec)
    assert tokens.tokens.truncation == "first-text-longer"
    assert isinstance(teacher, TeacherSpec)
    for training in (teacher.training, student(stages, "finetune-3l-s1").training):
        assert training.optimizer == "bert-adam"
        assert training.shuffle is False
        assert training.schedule == "full-batches"
        assert training.precision == "float32"
    patient = student(stages, "pkd-skip-3l-s1")
    assert isinstance(patient.distill, PatientDistillSpec)
    assert patient.distill.patience_reduction == patient.distill.distillation_reduction == "element_mean"
    # What their 3-layer script trains, though it is reported as skipping layers.
    assert patient.layer_map == student(stages, "pkd-last-3l-s1").layer_map == ((1, 10), (2, 11))
    assert patient.training.learning_rate == 5e-5  # of the preset


def test_at_other_depths_the_authors_skip_layers() -> None:
    stages = dag(convention="authors")
    assert student(stages, "pkd-skip-6l-s1").layer_map == ((1, 2), (2, 4), (3, 6), (4, 8), (5, 10))


def test_the_papers_convention_has_the_formulas_reductions_alone() -> None:
    stages, default = dag(convention="paper"), dag()
    patient = student(stages, "pkd-skip-6l-s1")
    assert isinstance(patient.distill, PatientDistillSpec)
    assert patient.distill.patience_reduction == patient.distill.distillation_reduction == "batch_mean"
    changed = {key for key, stage in stages.items() if stage.fingerprint != default[key].fingerprint}
    distilled = {f"RTE/{name}-6l-s1" for name in ("kd", "pkd-skip", "pkd-last")}
    assert {key for key in changed if isinstance(stages[key].spec, StudentSpec)} == distilled
    assert all(key.endswith(tuple(name[4:] for name in distilled)) for key in changed - {"reports/report"})


def test_what_a_user_gives_comes_before_the_convention() -> None:
    stages = dag({"student.shuffle": "true"}, convention="authors")
    training = student(stages, "kd-6l-s1").training
    assert training.shuffle is True
    assert training.optimizer == "bert-adam"
