"""What a stage is asked to do, as users read it in reports, and as manifests keep it."""

import pytest
from pydantic import ValidationError

from pkd_core.config.distill_settings import DistillConfig
from pkd_core.config.settings import Method, StudentConfig, TeacherConfig
from pkd_core.pipeline.specs import (
    DistillSpec,
    FullDistillSpec,
    PatientDistillSpec,
    StudentSpec,
    TeacherSpec,
    distill_spec,
    parse_training_spec,
)

DISTILL = DistillConfig(
    alpha=0.3, temperature=7, beta=20, normalize=False, distillation_reduction="batch_mean"
)
TEACHER = TeacherSpec(num_layers=12, metric="f1", training=TeacherConfig(seed=5, num_epochs=3))
ADDRESSED = {
    "accumulation_steps": 1,
    "batch_size": 32,
    "learning_rate": 2e-5,
    "max_grad_norm": 1.0,
    "num_epochs": 4,
    "precision": "auto",
    "warmup_fraction": 0.1,
    "weight_decay": 0.01,
}
# Newer than addresses, whose JSON leaves out their defaults.
TRAINING = ADDRESSED | {"optimizer": "adamw", "schedule": "all-steps", "shuffle": True}


def student(method: Method, layer_map: tuple[tuple[int, int], ...] | None = None) -> StudentSpec:
    return StudentSpec(
        method=method,
        num_layers=3,
        seed=8,
        metric="accuracy",
        training=StudentConfig(init="teacher-first"),
        initial_layers=(1, 2, 3),
        distill=distill_spec(method, DISTILL),
        layer_map=layer_map,
    )


STUDENTS = (student("finetune"), student("kd", ()), student("pkd-skip", ((1, 4), (2, 8))))
FULL = student("kd.full", ())
OF_STUDENT = {f"student.{key}": value for key, value in TRAINING.items()} | {"student.init": "teacher-first"}
OF_KD = {"distill.alpha": 0.3, "distill.temperature": 7.0, "distill.distillation_reduction": "batch_mean"}
OF_PATIENCE = {
    "distill.beta": 20.0,
    "distill.normalize": False,
    "distill.patience_reduction": "element_mean",
}


def test_settings_are_shown_by_the_keys_that_a_user_types() -> None:
    finetune, kd, patient = STUDENTS
    assert TEACHER.dotted_settings() == {
        f"teacher.{key}": value for key, value in (TRAINING | {"seed": 5, "num_epochs": 3}).items()
    }
    assert list(TEACHER.dotted_settings()) == sorted(TEACHER.dotted_settings())
    assert finetune.dotted_settings() == OF_STUDENT
    assert kd.dotted_settings() == OF_STUDENT | OF_KD
    assert patient.dotted_settings() == OF_STUDENT | OF_KD | OF_PATIENCE | {"layer_map": "1<-4 2<-8"}


def test_a_loss_other_than_the_papers_is_shown_and_addressed_with_the_settings_that_it_reads() -> None:
    decoupled, squared = (
        student("kd").model_copy(
            update={"distill": distill_spec("kd", DISTILL.model_copy(update={"distillation_loss": loss}))}
        )
        for loss in ("dkd", "logits-mse")
    )
    weights = {"distill.dkd_target_weight": 1.0, "distill.dkd_other_weight": 8.0}
    assert decoupled.dotted_settings() == OF_STUDENT | OF_KD | weights | {"distill.distillation_loss": "dkd"}
    assert squared.dotted_settings() == OF_STUDENT | {
        "distill.alpha": 0.3,
        "distill.distillation_reduction": "batch_mean",
        "distill.distillation_loss": "logits-mse",
    }
    assert decoupled.model_dump(mode="json")["distill"] == {
        "alpha": 0.3,
        "temperature": 7.0,
        "distillation_reduction": "batch_mean",
        "distillation_loss": "dkd",
    }
    assert parse_training_spec(decoupled.model_dump(mode="json")) == decoupled


def test_a_teachers_seed_is_that_of_its_training_settings() -> None:
    assert TEACHER.seed == 5


@pytest.mark.parametrize(
    "spec", [TEACHER, *STUDENTS, FULL], ids=["teacher", "finetune", "kd", "pkd-skip", "kd.full"]
)
def test_a_training_is_read_back_from_its_manifest(spec: TeacherSpec | StudentSpec) -> None:
    assert parse_training_spec(spec.model_dump(mode="json")) == spec


def test_a_manifest_of_another_kind_is_no_training() -> None:
    with pytest.raises(ValidationError):
        parse_training_spec({"states": {"dtype": "float16"}})


@pytest.mark.parametrize("method", ["pkd-skip", "pkd-last"])
def test_a_method_reads_only_its_own_part_of_the_distillation_settings(method: Method) -> None:
    assert distill_spec("finetune", DISTILL) is None
    assert distill_spec("kd", DISTILL) == DistillSpec(
        alpha=0.3, temperature=7.0, distillation_reduction="batch_mean"
    )
    assert distill_spec(method, DISTILL) == PatientDistillSpec(
        alpha=0.3,
        temperature=7.0,
        distillation_reduction="batch_mean",
        beta=20.0,
        normalize=False,
        patience_reduction="element_mean",
    )
    assert distill_spec("kd.full", DISTILL) == FullDistillSpec(
        alpha=0.3,
        temperature=7.0,
        distillation_reduction="batch_mean",
        first_head_layer=1,
        head_weight=0.5,
    )


def test_the_json_of_plain_fine_tuning_leaves_out_what_distillation_adds() -> None:
    finetune, kd, patient = (spec.model_dump(mode="json") for spec in STUDENTS)
    assert finetune == {
        "method": "finetune",
        "num_layers": 3,
        "seed": 8,
        "metric": "accuracy",
        "training": ADDRESSED | {"init": "teacher-first"},
        "initial_layers": [1, 2, 3],
    }
    assert kd.keys() - finetune.keys() == patient.keys() - finetune.keys() == {"distill", "layer_map"}
    assert (kd["layer_map"], patient["layer_map"]) == ([], [[1, 4], [2, 8]])
