"""The task.toml of a custom task is read or rejected, and task names are folder names."""

from pathlib import Path

import pytest

from pkd_core.data.glue import GLUE_TASKS, Task, load_task
from pkd_core.errors import DataError

CUSTOM = 'texts = ["left", "right"]\nlabel = "same"\nlabels = ["no", "yes"]\nmetrics = ["f1", "accuracy"]\n'


def custom_task(data_raw: Path, text: str) -> Task:
    (data_raw / "Mine").mkdir(parents=True, exist_ok=True)
    (data_raw / "Mine/task.toml").write_text(text, encoding="utf-8")
    return load_task("Mine", data_raw)


def test_a_custom_task_is_read_as_described(tmp_path: Path) -> None:
    task = custom_task(tmp_path, CUSTOM + 'index = "id"\n')
    assert (task.labels, task.metrics, task.label_range) == (("no", "yes"), ("f1", "accuracy"), None)
    assert [(s.name, s.file, s.texts, s.label, s.index, s.submission) for s in task.splits] == [
        ("train", "Mine/train.tsv", ("left", "right"), "same", None, None),
        ("dev", "Mine/dev.tsv", ("left", "right"), "same", None, None),
        ("test", "Mine/test.tsv", ("left", "right"), None, "id", "Mine.tsv"),
    ]
    assert [split.required for split in task.splits] == [True, True, False]
    assert custom_task(tmp_path, CUSTOM).split("test").index is None


def test_a_custom_task_of_many_classes_may_be_scored_by_macro_f1(tmp_path: Path) -> None:
    text = CUSTOM.replace('"yes"]', '"yes", "maybe"]').replace(
        '["f1", "accuracy"]', '["macro_f1", "accuracy"]'
    )
    assert custom_task(tmp_path, text).metrics == ("macro_f1", "accuracy")


def test_a_custom_regression_task_is_read_as_described(tmp_path: Path) -> None:
    task = custom_task(
        tmp_path, 'texts = ["a"]\nlabel = "y"\nlabel_range = [-1, 1.5]\nmetrics = ["spearman"]\n'
    )
    assert task.is_regression
    assert task.label_range == (-1.0, 1.5)


def test_a_glue_name_is_always_glue_s_task(tmp_path: Path) -> None:
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE/task.toml").write_text(CUSTOM, encoding="utf-8")
    assert load_task("RTE", tmp_path) is GLUE_TASKS["RTE"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("texts = [", "expected a TOML file, got one that cannot be read"),
        ("texts = " + 5000 * "[", "expected a TOML file, got one whose lists are nested too deeply"),
        (f"texts = {100 * '['}1{100 * ']'}", r"expected `texts` .*, got \[\[\[\.\.\.\]\]\]; fix that line"),
        (5000 * "k" + " = 1", r"expected the keys .*, got 'kk+\.\.\.kk+'; remove"),
        (
            CUSTOM.replace('"yes"', ", ".join(f'"label {number}"' for number in range(10_000))),
            r"expected `labels` to be a list of two to 9999 different texts, got \['no', .*, \.\.\.\]; fix",
        ),
        (CUSTOM.replace('"accuracy"', '"f1"'), "expected `metrics` to be a list of different ones out of"),
        (
            CUSTOM.replace('"accuracy"', "{f1 = 1}"),
            "expected `metrics` to be a list of different ones out of",
        ),
        ("\xff".encode("latin-1").decode("latin-1") + "=", "expected a TOML file"),
        (CUSTOM + "lables = 1\n", "expected the keys .*, got 'lables'"),
        ("", "expected `texts` to be a list of one or two different texts, got None"),
        (CUSTOM.replace('["left", "right"]', '"left"'), "expected `texts` to be a list"),
        (CUSTOM.replace('"right"', '"left"'), "expected `texts` to be a list of one or two different"),
        (CUSTOM.replace('"right"', "3"), "expected `texts` to be a list"),
        (CUSTOM.replace('"same"', '"a\\tb"'), "expected `label` to be a column's name"),
        (CUSTOM.replace('"same"', "1"), "expected `label` to be a column's name, got 1"),
        (CUSTOM.replace('["no", "yes"]', '["no"]'), "expected `labels` to be a list of two to 9999"),
        (CUSTOM + "label_range = [0, 1]\n", "expected either `labels` or `label_range`, got both"),
        (CUSTOM.replace("labels =", "# labels ="), "expected either `labels` or `label_range`, got neither"),
        (
            CUSTOM.replace('["f1", "accuracy"]', "[]"),
            r"expected `metrics` to be a list of different ones out of accuracy, f1, macro_f1, matthews, got \[\];",
        ),
        (
            CUSTOM.replace('"f1"', '"bleu"'),
            r"a list of different ones out of accuracy, .*, got \['bleu', 'acc",
        ),
        (
            CUSTOM.replace('"f1"', '"pearson"'),
            "expected `metrics` that fit the task, got 'pearson', which compares scores, and the task has labels; "
            "give one of accuracy, f1, macro_f1, matthews",
        ),
        (
            CUSTOM.replace('"yes"]', '"yes", "x"]'),
            "got 'f1', which is the F1 of the second of two labels, and the task has 3; give 'macro_f1', the mean of",
        ),
        (CUSTOM.replace('labels = ["no", "yes"]', "label_range = [1, 1]"), "expected `label_range`"),
        (CUSTOM.replace('labels = ["no", "yes"]', "label_range = [0, nan]"), "expected `label_range`"),
        (CUSTOM.replace('labels = ["no", "yes"]', "label_range = [0, true]"), "expected `label_range`"),
        (CUSTOM.replace('labels = ["no", "yes"]', f"label_range = [0, 1{400 * '0'}]"), "got .*0000"),
        (CUSTOM.replace('labels = ["no", "yes"]', f"label_range = [0, 1{5000 * '0'}]"), "cannot be read"),
        (CUSTOM.replace('labels = ["no", "yes"]', "label_range = [0, 1e-400]"), "expected `label_range`"),
        (CUSTOM.replace('labels = ["no", "yes"]', "label_range = [-2e18, 0]"), r"from -1e\+18 to 1e\+18"),
        (
            CUSTOM.replace('labels = ["no", "yes"]', "label_range = [0, 1]"),
            "got 'f1', which compares labels, and the task has scores; give 'pearson' or 'spearman'",
        ),
        (CUSTOM + "index = 3\n", "expected `index` to be a column's name"),
        (CUSTOM + 'index = "id"\nformat = "parquet"\n', "TSV without labels, got `format` beside it; remove"),
        (CUSTOM + 'index = "id"\nlabelled_test = true\n', "without labels, got `labelled_test` beside it"),
    ],
)
def test_an_invalid_description_is_an_error_that_names_file_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        custom_task(tmp_path, text)
    assert str(tmp_path / "Mine/task.toml") in str(caught.value)
    assert len(str(caught.value)) < len(str(tmp_path)) + 600


def test_an_unknown_task_is_an_error_that_suggests_similar_names(tmp_path: Path) -> None:
    custom_task(tmp_path, CUSTOM)
    with pytest.raises(DataError, match=r"got 'mnli'; choose a similar one \(MNLI, "):
        load_task("mnli", tmp_path)
    with pytest.raises(DataError, match=r"got 'mine'; choose a similar one \(Mine"):
        load_task("mine", tmp_path)
    with pytest.raises(DataError, match=r"got 'xyz'; choose a similar one \(CoLA, SST-2, .*, WNLI, Mine\)"):
        load_task("xyz", tmp_path)
    with pytest.raises(DataError, match="AX has no training data: MNLI's models predict it"):
        load_task("AX", tmp_path)


@pytest.mark.parametrize(
    "name", ["mlflow.db", "MLflow.db-wal", "reports", "Runs", "devices", "prefect", "logs"]
)
def test_a_task_cannot_have_the_name_of_pkds_own_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "task.toml").write_text(CUSTOM, encoding="utf-8")
    with pytest.raises(DataError, match=f"{name} cannot be a task, because pkd keeps its own files"):
        load_task(name, tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", "../RTE", "RTE/", "/etc", ".work", "a b", "RTE\n", "a\\b"])
def test_a_task_name_must_be_a_plain_folder_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="expected a task's name"):
        load_task(name, tmp_path)


SEVERAL = CUSTOM.replace('["f1", "accuracy"]', '["micro_f1", "macro_f1", "subset_accuracy"]')


def test_a_custom_task_of_several_labels_is_read_as_described(tmp_path: Path) -> None:
    task = custom_task(tmp_path, SEVERAL + "multi_label = true\n")
    assert task.multi_label and not task.is_regression
    assert (task.labels, task.num_outputs) == (("no", "yes"), 2)
    assert task.metrics == ("micro_f1", "macro_f1", "subset_accuracy")
    assert custom_task(tmp_path, CUSTOM + "multi_label = false\n") == custom_task(tmp_path, CUSTOM)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SEVERAL + 'multi_label = "yes"\n', "expected `multi_label` to be true or false, got 'yes'"),
        (
            'texts = ["a"]\nlabel = "b"\nlabel_range = [0, 1]\nmetrics = ["pearson"]\nmulti_label = true\n',
            "expected `labels` beside `multi_label`, got none; list them",
        ),
        (
            SEVERAL.replace('"yes"', '"yes|no"') + "multi_label = true\n",
            r"expected `labels` to be without '\|', which stands between labels, got 'yes\|no'; fix",
        ),
        (
            CUSTOM + "multi_label = true\n",
            "got 'f1', and a text may have several labels; give one of micro_f1, macro_f1, subset_accuracy",
        ),
        (
            SEVERAL,
            "got 'micro_f1', which compares several labels of a text, and each has one; give one of acc",
        ),
        (
            SEVERAL.replace('labels = ["no", "yes"]', "label_range = [0, 1]"),
            "got 'micro_f1', which compares labels, and the task has scores; give 'pearson' or 'spearman'",
        ),
    ],
)
def test_an_invalid_description_of_several_labels_is_an_error(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        custom_task(tmp_path, text)
