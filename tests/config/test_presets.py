"""Presets are the authors' published rows, and say so where they stand in for a row that does not exist."""

import csv
from pathlib import Path

import pytest

import pkd_core.config
from pkd_core.config.overrides import build_settings
from pkd_core.config.presets import all_presets, preset_for
from pkd_core.config.settings import METHODS
from pkd_core.data.glue import GLUE_TASKS

COLUMNS = {
    "lr": "student.learning_rate",
    "batch_size": "student.batch_size",
    "alpha": "distill.alpha",
    "temperature": "distill.temperature",
    "beta": "distill.beta",
}


def published(table: str, task: str) -> dict[str, str]:
    path = Path(pkd_core.config.__file__).with_name("published_dev_results.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["statistic"] == "best"]
    return next(row for row in rows if (row["table"], row["task"]) == (table, task))


def test_qnli_at_six_layers_carries_every_value_of_its_row() -> None:
    preset = preset_for("QNLI", "pkd-skip", 6)
    row = published("pkd_6layer", "QNLI")
    assert {column: float(row[column]) for column in COLUMNS} == {
        column: preset.settings[key] for column, key in COLUMNS.items()
    }
    assert preset.settings["distill.normalize"] is False
    assert preset.settings["distill.distillation_reduction"] == "element_mean"
    assert preset.settings["distill.patience_reduction"] == "element_mean"
    assert (preset.source, preset.exact) == ("pkd_6layer best QNLI", True)


def test_epochs_are_the_four_of_the_protocol_and_not_the_best_epoch_of_the_row() -> None:
    assert published("teacher_12layer", "QNLI")["epoch"] == "2.0"
    assert preset_for("QNLI", "teacher", 12).settings["teacher.num_epochs"] == 4


def test_a_teacher_gets_no_distillation_and_no_student_settings() -> None:
    assert set(preset_for("RTE", "teacher", 24).settings) == {
        "teacher.learning_rate",
        "teacher.num_epochs",
        "teacher.batch_size",
    }
    assert preset_for("RTE", "teacher", 24).settings["teacher.learning_rate"] == 1e-5


def test_plain_finetuning_and_kd_carry_only_what_they_read() -> None:
    finetune = preset_for("RTE", "finetune", 6).settings
    kd = preset_for("RTE", "kd", 6).settings
    assert not any(key.startswith("distill.") for key in finetune)
    assert {key for key in kd if key.startswith("distill.")} == {
        "distill.alpha",
        "distill.temperature",
        "distill.distillation_reduction",
    }


@pytest.mark.parametrize(("method", "exact"), [("pkd-skip", False), ("pkd-last", True)])
def test_three_layer_pkd_says_which_teacher_layers_its_row_was_trained_with(method: str, exact: bool) -> None:
    preset = preset_for("RTE", method, 3)
    assert preset.source.startswith("pkd_3layer best RTE, trained with teacher layers 10 and 11")
    assert preset.exact is exact


@pytest.mark.parametrize(
    ("asked", "table_and_task", "named"),
    [
        (("CoLA", "finetune", 6, 12), "ft_6layer best SST-2", "CoLA"),
        (("STS-B", "kd", 6, 12), "kd_6layer best MRPC", "STS-B"),
        (("WNLI", "kd", 3, 12), "kd_3layer best RTE", "WNLI"),
        (("Reviews", "pkd-skip", 6, 12), "pkd_6layer best MRPC", "Reviews"),
        (("RTE", "kd", 4, 12), "kd_3layer best RTE", "4 layers"),
        (("RTE", "kd", 9, 12), "kd_6layer best RTE", "9 layers"),
        (("RTE", "kd", 3, 6), "kd_3layer best RTE", "a 6-layer teacher"),
        (("RTE", "teacher", 6, 6), "teacher_12layer best RTE", "6 layers"),
        (("RTE", "finetune", 6, 24), "ft_6layer best RTE", "a 24-layer teacher"),
        (("RTE", "pkd-last", 6, 24), "pkd_6layer_teacher24 best RTE", "pkd-last"),
        (("RTE", "kd", 3, 24), "kd_6layer_teacher24 best RTE", "3 layers"),
    ],
)
def test_a_stand_in_is_not_exact_and_names_what_there_is_no_row_for(
    asked: tuple[str, str, int, int], table_and_task: str, named: str
) -> None:
    preset = preset_for(*asked)
    assert not preset.exact
    assert preset.source.startswith(table_and_task)
    assert preset.source.endswith(f"(there is none for {named})")


def test_cola_keeps_its_one_published_row() -> None:
    assert preset_for("CoLA", "kd", 6).source == "kd_6layer best CoLA"


def test_every_task_method_and_depth_gets_settings_that_the_configuration_accepts() -> None:
    for task in (*GLUE_TASKS, "Reviews"):
        for method in ("teacher", *METHODS):
            for num_layers in range(1, 25):
                for num_teacher_layers in (2, 6, 12, 24):
                    build_settings(preset_for(task, method, num_layers, num_teacher_layers).settings)


def test_the_list_holds_each_question_once_with_its_own_answer() -> None:
    listed = all_presets()
    questions = [(item.task, item.method, item.num_layers, item.num_teacher_layers) for item in listed]
    assert len(set(questions)) == len(questions)
    assert {item.task for item in listed} == set(GLUE_TASKS)
    assert all(item.preset == preset_for(*question) for item, question in zip(listed, questions, strict=True))
    assert sum(item.preset.exact for item in listed) > 50
