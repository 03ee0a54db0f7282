"""What a compression is asked for, and the settings that are recommended for its data and models."""

from typing import Any

import pytest

from pkd_core.config.compress import CompressConfig, build_compress_config, run_of
from pkd_core.config.overrides import setting_keys
from pkd_core.config.recommended import Amounts, recommended_settings
from pkd_core.config.settings import METHODS
from pkd_core.errors import ConfigError

NARROW = {"teacher_width": 384, "student_width": 384, "max_length": 512}
WIDE = {"teacher_width": 768, "student_width": 768, "max_length": 512}


def settings(num_train: int, num_transfer: int = 0, **changes: Any) -> dict[str, Any]:
    amounts = Amounts(num_train=num_train, num_transfer=num_transfer, **{**NARROW, **changes})
    return recommended_settings(amounts, METHODS)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"student_layers": 3, "latency_ms": 20}, r"got both \(20 ms and 3\)"),
        ({"student_layers": 0}, "student_layers cannot be 0"),
        ({"settings": {"student.rate": 1}}, "there is no setting 'student.rate': did you mean student"),
        ({"methods": ("finetune",), "settings": {"distill.alpha": 0.5}}, "has no effect on finetune"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build_compress_config(**values)


def test_a_run_has_what_was_given_over_what_is_recommended() -> None:
    config = build_compress_config(seeds=(1, 2), student_model="small", settings={"student.num_epochs": "7"})
    recommended = {"student.num_epochs": 3, "student.learning_rate": 2e-4}
    run = run_of(config, "Reviews", 3, recommended)
    assert (run.tasks, run.student_layers, run.seeds) == (("Reviews",), (3,), (1, 2))
    assert (run.methods, run.student_model) == (("finetune", "kd"), "small")
    assert run.settings == {"student.num_epochs": 7, "student.learning_rate": 2e-4}


def test_few_rows_have_many_passes_of_small_batches_and_many_rows_few() -> None:
    keys = ("student.num_epochs", "student.batch_size")
    assert [tuple(settings(rows)[key] for key in keys) for rows in (300, 1_500, 10_003, 67_349, 400_000)] == [
        (30, 16),
        (30, 16),
        (10, 32),
        (3, 32),
        (3, 32),
    ]


def test_wide_models_have_lower_rates_and_fewer_passes() -> None:
    keys = ("teacher.learning_rate", "teacher.num_epochs", "student.learning_rate", "student.num_epochs")
    assert [settings(10_000, **WIDE)[key] for key in keys] == [3e-5, 7, 5e-5, 7]
    assert [settings(10_000)[key] for key in keys] == [1e-4, 10, 2e-4, 10]
    mixed = settings(10_000, teacher_width=768)
    assert [mixed[key] for key in keys] == [3e-5, 7, 2e-4, 10]


def test_texts_without_labels_are_learnt_from_the_teacher_alone_in_passes_of_their_own() -> None:
    with_texts, without = settings(1_003, 9_000), settings(1_003)
    assert (with_texts["distill.alpha"], without["distill.alpha"]) == (1.0, 0.7)
    assert (with_texts["distill.num_epochs"], with_texts["student.num_epochs"]) == (5, 30)
    assert "distill.num_epochs" not in without


def test_nothing_is_recommended_that_no_method_reads() -> None:
    amounts = Amounts(num_train=300, num_transfer=0, **NARROW)
    of_kd = recommended_settings(amounts, ["kd"])
    assert of_kd.keys() - recommended_settings(amounts, ["finetune"]).keys() == {
        "distill.alpha",
        "distill.distillation_reduction",
        "distill.temperature",
    }
    assert settings(300).keys() <= set(setting_keys())
    run_of(CompressConfig(), "Reviews", 2, of_kd)


def test_a_short_model_cuts_texts_to_what_it_reads() -> None:
    assert settings(300, max_length=64)["tokens.max_length"] == 64
    assert "tokens.max_length" not in settings(300)


def test_scores_are_learnt_standardised_and_labels_have_no_such_setting() -> None:
    keys = {"teacher.standardize_scores", "student.standardize_scores"}
    assert {key for key, value in settings(500, has_scores=True).items() if value is True} >= keys
    assert not keys & settings(500).keys()


def test_all_students_take_layers_of_a_teacher_that_has_theirs() -> None:
    common = settings(500, has_common_layers=True)
    assert common == settings(500) | {"student.init": "teacher-skip"}
    amounts = Amounts(num_train=500, num_transfer=0, has_common_layers=True, **NARROW)
    assert recommended_settings(amounts, ["finetune"])["student.init"] == "teacher-skip"
