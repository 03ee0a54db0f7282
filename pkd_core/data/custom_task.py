"""A custom task: a folder of data_raw with a task.toml that describes its files.

# data_raw/Reviews/task.toml; its folder holds train.tsv, dev.tsv and optionally test.tsv
texts = ["sentence"]                 # one or two columns
label = "label"
labels = ["negative", "positive"]    # or, for a score: label_range = [0.0, 5.0]
multi_label = true                   # optional: any number of labels for a text, written "joy|surprise"
metrics = ["accuracy", "f1"]         # the first selects the best epoch; for more than two labels: macro_f1
index = "id"                         # optional: the column of example ids in test.tsv
format = "parquet"                   # optional: the files are train.parquet, dev.parquet and so on
labelled_test = true                 # optional: the test file has labels, and is scored
labelled_by = "my-teacher"           # optional: the labels are this teacher's answers, which reports then say

A table [imported] is left by the import of a user's own files; nothing of it is read here.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pkd_core.data.task import LABEL_SEPARATOR, Task, standard_splits
from pkd_core.errors import DataError, quoted, reason

TASK_FILE = "task.toml"
CLASS_METRICS = ("accuracy", "f1", "macro_f1", "matthews")
MULTI_LABEL_METRICS = ("micro_f1", "macro_f1", "subset_accuracy")
SCORE_METRICS = ("pearson", "spearman")

# Its square, an error of the training, is a float32.
_MAX_SCORE = 1e18
_MAX_LABELS = 9_999
FORMATS = ("tsv", "parquet")
IMPORTED = "imported"
KEYS = (
    *("texts", "label", "labels", "multi_label", "label_range", "metrics", "index"),
    *("format", "labelled_test", "labelled_by", IMPORTED),
)


def read_custom_task(name: str, path: Path) -> Task:
    """Read the description of a custom task, whose files all have a header.

    Raises:
        DataError: If the file is not TOML, or a key is unknown, missing or invalid.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise DataError(
            f"{path}: expected a TOML file, got one whose lists are nested too deeply; fix it"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected a TOML file, got one that cannot be read ({reason(error)}); fix it"
        ) from error
    unknown = sorted(set(values) - set(KEYS))
    if unknown:
        raise DataError(
            f"{path}: expected the keys {', '.join(KEYS)}, got {quoted(unknown[0])}; remove or rename it"
        )
    texts = _texts(path, values, "texts", 1, 2)
    label = _name(path, values, "label")
    index = _index(path, values)
    if ("labels" in values) == ("label_range" in values):
        got = "both" if "labels" in values else "neither"
        raise DataError(f"{path}: expected either `labels` or `label_range`, got {got}; give one of them")
    labels = _texts(path, values, "labels", 2, _MAX_LABELS) if "labels" in values else ()
    label_range = None if labels else _range(path, values["label_range"])
    multi_label = _multi_label(path, values, labels)
    metrics = _metrics(path, values, labels, multi_label)
    splits = standard_splits(
        name, texts, label, index, _format(path, values), _flag(path, values, "labelled_test")
    )
    labelled_by = _name(path, values, "labelled_by", "a teacher's name") if "labelled_by" in values else ""
    return Task(
        name,
        splits,
        labels,
        metrics,
        label_range=label_range,
        multi_label=multi_label,
        labelled_by=labelled_by,
    )


def _error(path: Path, key: str, expected: str, got: object) -> DataError:
    return DataError(f"{path}: expected `{key}` to be {expected}, got {quoted(got)}; fix that line")


def _name(path: Path, values: Mapping[str, Any], key: str, expected: str = "a column's name") -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value or set(value) & set("\t\r\n"):
        raise _error(path, key, expected, value)
    return value


def _format(path: Path, values: Mapping[str, Any]) -> str:
    value = values.get("format", "tsv")
    if value not in FORMATS:
        raise _error(path, "format", " or ".join(map(repr, FORMATS)), value)
    return str(value)


def _index(path: Path, values: Mapping[str, Any]) -> str | None:
    if "index" not in values:
        return None
    for key, value in (("format", "parquet"), ("labelled_test", True)):
        if values.get(key) == value:
            raise DataError(
                f"{path}: expected `index` for a test file of TSV without labels, got `{key}` beside it; remove one of "
                "them"
            )
    return _name(path, values, "index")


def _flag(path: Path, values: Mapping[str, Any], key: str) -> bool:
    value = values.get(key, False)
    if not isinstance(value, bool):
        raise _error(path, key, "true or false", value)
    return value


def _texts(
    path: Path, values: Mapping[str, Any], key: str, min_count: int, max_count: int
) -> tuple[str, ...]:
    value = values.get(key)
    if not (
        isinstance(value, list)
        and all(isinstance(item, str) and item for item in value)
        and min_count <= len(value) <= max_count
        and len(set(value)) == len(value)
    ):
        counts = "one or two" if max_count == 2 else f"two to {max_count}"
        raise _error(path, key, f"a list of {counts} different texts", value)
    return tuple(value)


def _range(path: Path, value: object) -> tuple[float, float]:
    if isinstance(value, list) and len(value) == 2 and all(_is_score(item) for item in value):
        low, high = map(float, value)
        if low < high:
            return low, high
    expected = f"the smallest and the largest score, from {-_MAX_SCORE:g} to {_MAX_SCORE:g}"
    raise _error(path, "label_range", expected, value)


def _is_score(value: object) -> bool:
    return type(value) in (int, float) and -_MAX_SCORE <= value <= _MAX_SCORE  # type: ignore[operator]


def _multi_label(path: Path, values: Mapping[str, Any], labels: tuple[str, ...]) -> bool:
    value = _flag(path, values, "multi_label")
    if value and not labels:
        raise DataError(f"{path}: expected `labels` beside `multi_label`, got none; list them")
    for label in labels:
        if value and LABEL_SEPARATOR in label:
            raise _error(path, "labels", f"without {LABEL_SEPARATOR!r}, which stands between labels", label)
    return value


def _metrics(
    path: Path, values: Mapping[str, Any], labels: tuple[str, ...], multi_label: bool
) -> tuple[str, ...]:
    value = values.get("metrics")
    given = value if isinstance(value, list) else []
    for metric in given:
        if why := _why_unfit(metric, len(labels), multi_label):
            raise DataError(f"{path}: expected `metrics` that fit the task, got {quoted(metric)}, {why}")
    possible = _possible_metrics(len(labels), multi_label)
    if not given or any(metric not in possible for metric in given) or len(set(given)) < len(given):
        raise _error(path, "metrics", f"a list of different ones out of {', '.join(possible)}", value)
    return tuple(given)


def _possible_metrics(num_labels: int, multi_label: bool) -> tuple[str, ...]:
    if multi_label:
        return MULTI_LABEL_METRICS
    return CLASS_METRICS if num_labels else SCORE_METRICS


def _why_unfit(metric: object, num_labels: int, multi_label: bool) -> str | None:
    """Return why a known metric does not fit a task of so many labels (0 for a score), and what does; else None."""
    if multi_label and metric in (*CLASS_METRICS, *SCORE_METRICS) and metric not in MULTI_LABEL_METRICS:
        return f"and a text may have several labels; give one of {', '.join(MULTI_LABEL_METRICS)}"
    if metric in MULTI_LABEL_METRICS and metric != "macro_f1" and num_labels and not multi_label:
        return f"which compares several labels of a text, and each has one; give one of {', '.join(CLASS_METRICS)}"
    if metric == "f1" and num_labels > 2:
        return (
            f"which is the F1 of the second of two labels, and the task has {num_labels}; give 'macro_f1', the mean of "
            "every label's F1"
        )
    if metric in (*CLASS_METRICS, *MULTI_LABEL_METRICS) and not num_labels:
        return f"which compares labels, and the task has scores; give {' or '.join(map(repr, SCORE_METRICS))}"
    if metric in SCORE_METRICS and num_labels:
        return f"which compares scores, and the task has labels; give one of {', '.join(CLASS_METRICS)}"
    return None
