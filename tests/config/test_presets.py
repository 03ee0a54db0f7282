"""Presets are the authors' published rows; a substitute for a missing row is named as such."""

import csv
from pathlib import Path

import pytest

import pkd_core.config
from pkd_core.config.overrides import build_settings
from pkd_core.config.presets import all_presets, preset_for, published_score
from pkd_core.config.settings import METHODS
from pkd_core.data.glue import GLUE_TASKS

COLUMNS = {
    "lr": "student.learning_rate",
    "batch_size": "student.batch_size",
    "alpha": "distill.alpha",
    "temperature": "distill.temperature",
    "beta": "distill.beta",
}


def published_row(table: str, task: str) -> dict[str, str]:
    path = Path(pkd_core.config.__file__).with_name("published_dev_results.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["statistic"] == "best"]
    return next(row for row in rows if (row["table"], row["task"]) == (table, task))


def test_a_preset_has_every_value_of_its_row() -> None:
    preset = preset_for("QNLI", "pkd-skip", 6)
    row = published_row("pkd_6layer", "QNLI")
    assert {column: float(row[column]) for column in COLUMNS} == {
        column: preset.settings[key] for column, key in COLUMNS.items()
    }
    assert preset.settings["distill.normalize"] is False
    assert preset.settings["distill.distillation_reduction"] == "element_mean"
    assert preset.settings["distill.patience_reduction"] == "element_mean"
    assert (preset.source, preset.exact) == ("pkd_6layer best QNLI", True)


def test_presets_train_for_four_epochs_not_for_the_best_epoch_of_the_row() -> None:
    assert published_row("teacher_12layer", "QNLI")["epoch"] == "2.0"
    assert preset_for("QNLI", "teacher", 12).settings["teacher.num_epochs"] == 4


def test_a_teacher_has_no_distillation_and_no_student_settings() -> None:
    assert set(preset_for("RTE", "teacher", 24).settings) == {
        "teacher.learning_rate",
        "teacher.num_epochs",
        "teacher.batch_size",
    }
    assert preset_for("RTE", "teacher", 24).settings["teacher.learning_rate"] == 1e-5


def test_finetune_and_kd_have_only_the_settings_that_they_use() -> None:
    finetune = preset_for("RTE", "finetune", 6).settings
    kd = preset_for("RTE", "kd", 6).settings
    assert not any(key.startswith("distill.") for key in finetune)
    assert {key for key in kd if key.startswith("distill.")} == {
        "distill.alpha",
        "distill.temperature",
        "distill.distillation_reduction",
    }


@pytest.mark.parametrize(("method", "exact"), [("pkd-skip", False), ("pkd-last", True)])
def test_the_three_layer_pkd_rows_name_their_teacher_layers(method: str, exact: bool) -> None:
    preset = preset_for("RTE", method, 3)
    assert preset.source.startswith("pkd_3layer best RTE, trained with teacher layers 10 and 11")
    assert preset.exact is exact


@pytest.mark.parametrize(
    ("requested", "table_and_task", "missing"),
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
def test_a_substitute_is_not_exact_and_names_what_has_no_row(
    requested: tuple[str, str, int, int], table_and_task: str, missing: str
) -> None:
    preset = preset_for(*requested)
    assert not preset.exact
    assert preset.source.startswith(table_and_task)
    assert preset.source.endswith(f"(there is none for {missing})")


def test_cola_has_one_published_row() -> None:
    assert preset_for("CoLA", "kd", 6).source == "kd_6layer best CoLA"


def test_every_task_method_and_depth_has_valid_settings() -> None:
    for task in (*GLUE_TASKS, "Reviews"):
        for method in ("teacher", *METHODS):
            for num_layers in range(1, 25):
                for num_teacher_layers in (2, 6, 12, 24):
                    build_settings(preset_for(task, method, num_layers, num_teacher_layers).settings)


def test_the_list_holds_every_published_model_once_with_its_preset() -> None:
    listed = all_presets()
    models = [
        (item.task, item.method, item.num_layers, item.num_teacher_layers, item.num_base_layers)
        for item in listed
    ]
    assert len(set(models)) == len(models)
    published = {
        *(("teacher", depth, depth, depth) for depth in (12, 24)),
        *(("finetune", depth, 12, 12) for depth in (3, 6)),
        *((method, depth, 12, 12) for method in ("kd", "pkd-skip", "pkd-last") for depth in (3, 6)),
        *((method, 6, 24, 24) for method in ("kd", "pkd-skip", "pkd-last")),
        ("kd", 6, 24, 12),
    }
    assert set(models) == {(task, *model) for task in (*GLUE_TASKS, "RACE") for model in published}
    assert all(item.preset == preset_for(*model) for item, model in zip(listed, models, strict=True))


@pytest.mark.parametrize("num_layers", [12, 24])
def test_race_has_the_authors_length_and_small_parts_of_batches_at_every_depth(num_layers: int) -> None:
    settings = preset_for("RACE", "teacher", num_layers, num_layers).settings
    assert (settings["tokens.max_length"], settings["teacher.accumulation_steps"]) == (512, 8)
    assert "tokens.max_length" not in preset_for("RTE", "teacher", num_layers, num_layers).settings


# Written out by hand from the authors' result files: MNLI's best rows, and their dev accuracy in the paper's tables.
MNLI_ROWS = [
    # method, layers, teacher layers, learning rate, (temperature, alpha), (beta, normalize), dev score
    ("teacher", 12, 12, 2e-5, None, None, 0.8374),
    ("teacher", 24, 24, 2e-5, None, None, 0.8599),
    ("finetune", 3, 12, 5e-5, None, None, 0.7509),
    ("finetune", 6, 12, 2e-5, None, None, 0.8031),
    ("kd", 3, 12, 5e-5, (5, 0.7), None, 0.7596),
    ("kd", 6, 12, 5e-5, (10, 0.5), None, 0.8082),
    ("kd", 6, 24, 5e-5, (10, 0.2), None, 0.7581),
    ("pkd-skip", 6, 12, 5e-5, (10, 0.5), (100, False), 0.8231),
    ("pkd-skip", 6, 24, 5e-5, (20, 0.5), (1000, False), 0.7735),
    ("pkd-last", 3, 12, 5e-5, (5, 0.7), (1000, False), 0.7765),
    ("pkd-last", 6, 12, 5e-5, (20, 0.5), (100, False), 0.8162),
]


@pytest.mark.parametrize(
    ("method", "layers", "teacher_layers", "learning_rate", "distillation", "patience", "dev_score"),
    MNLI_ROWS,
)
def test_each_method_and_depth_has_its_own_published_settings_and_score(
    method: str,
    layers: int,
    teacher_layers: int,
    learning_rate: float,
    distillation: tuple[float, float] | None,
    patience: tuple[float, bool] | None,
    dev_score: float,
) -> None:
    section = "teacher" if method == "teacher" else "student"
    expected: dict[str, object] = {
        f"{section}.learning_rate": learning_rate,
        f"{section}.num_epochs": 4,
        f"{section}.batch_size": 32,
    }
    if distillation is not None:
        temperature, alpha = distillation
        expected |= {"distill.temperature": temperature, "distill.alpha": alpha}
        expected |= {"distill.distillation_reduction": "element_mean"}
    if patience is not None:
        beta, normalize = patience
        expected |= {"distill.beta": beta, "distill.normalize": normalize}
        expected |= {"distill.patience_reduction": "element_mean"}
    preset = preset_for("MNLI", method, layers, teacher_layers)
    assert preset.exact
    assert preset.settings == expected
    assert published_score("MNLI", method, layers, teacher_layers) == pytest.approx(dev_score, abs=5e-5)


@pytest.mark.parametrize(
    ("model", "dev_score"),
    [
        (("SST-2", "kd", 6, 12), 0.9140),
        (("RTE", "pkd-skip", 6, 12), 0.6823),
        (("QNLI", "pkd-last", 3, 12), 0.8563),
        (("CoLA", "kd", 6, 12), 0.4460),
        (("QNLI", "pkd-skip", 3, 12), None),  # the published row was trained with the last teacher layers
        (("MNLI", "pkd-last", 6, 24), None),
        (("CoLA", "finetune", 6, 12), None),
        (("MNLI", "kd", 3, 24), None),
        (("MNLI", "kd", 4, 12), None),
        (("Reviews", "kd", 6, 12), None),
    ],
)
def test_only_the_score_of_exactly_this_model_is_published(
    model: tuple[str, str, int, int], dev_score: float | None
) -> None:
    assert published_score(*model) == (None if dev_score is None else pytest.approx(dev_score, abs=5e-5))


def test_normalize_is_read_from_the_row() -> None:
    normalize = {
        task: preset_for(task, "pkd-skip", 6).settings["distill.normalize"] for task in ("RTE", "QQP")
    }
    assert normalize == {"RTE": True, "QQP": False}


# Students that are layers of a 12-layer model, whatever their teacher's depth.
@pytest.mark.parametrize(
    ("method", "num_layers", "source"),
    [
        ("teacher", 24, "teacher_24layer best RTE"),
        ("finetune", 6, "ft_6layer best RTE"),
        ("kd", 6, "kd_6layer_teacher24_base best RTE"),
        ("kd", 3, "kd_6layer_teacher24_base best RTE (there is none for 3 layers)"),
        ("pkd-skip", 6, "pkd_6layer best RTE (there is none for a 24-layer teacher)"),
        ("pkd-last", 6, "pkd_6layer_last best RTE (there is none for a 24-layer teacher)"),
    ],
)
def test_students_of_a_12_layer_model_under_a_24_layer_teacher_have_settings_of_their_own_model(
    method: str, num_layers: int, source: str
) -> None:
    assert preset_for("RTE", method, num_layers, 24, 12).source == source


def test_a_model_of_another_depth_than_any_published_one_is_named() -> None:
    source = preset_for("RTE", "kd", 6, 24, 8).source
    assert source == ("kd_6layer_teacher24_base best RTE (there is none for students of a model of 8 layers)")
    assert preset_for("RTE", "kd", 6, 24, 24) == preset_for("RTE", "kd", 6, 24)


# The authors' `teacher24_base` table by hand: MNLI's best row.
def test_a_student_of_bert_base_taught_by_bert_large_has_its_own_published_score() -> None:
    settings = preset_for("MNLI", "kd", 6, 24, 12).settings
    assert (settings["student.learning_rate"], settings["distill.temperature"]) == (2e-5, 10)
    assert settings["distill.alpha"] == 0.7
    assert published_score("MNLI", "kd", 6, 24, 12) == pytest.approx(0.8083, abs=5e-5)
    assert published_score("MNLI", "kd", 6, 24, 24) == pytest.approx(0.7581, abs=5e-5)
    assert published_score("MNLI", "finetune", 6, 24, 12) == pytest.approx(0.8031, abs=5e-5)
    assert published_score("MNLI", "pkd-skip", 6, 24, 12) is None
    assert published_score("MNLI", "finetune", 6, 24, 24) is None
