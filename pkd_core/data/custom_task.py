"""The user's own task, described by a task.toml beside its files.

# data_raw/Reviews/task.toml, beside train.tsv, dev.tsv and, if there is one, test.tsv
texts = ["sentence"]                 # one or two columns
label = "label"
labels = ["negative", "positive"]    # or, for a score: label_range = [0.0, 5.0]
metrics = ["accuracy", "f1"]         # the first selects the best epoch
index = "id"                         # optional: the test file's own numbering
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pkd_core.data.task import Split, Task
from pkd_core.errors import DataError

TASK_FILE = "task.toml"
CLASS_METRICS = ("accuracy", "f1", "matthews")
SCORE_METRICS = ("pearson", "spearman")

_KEYS = ("texts", "label", "labels", "label_range", "metrics", "index")


def read_custom_task(name: str, path: Path) -> Task:
    """Read the description of the user's task `name`; its files lie beside it, and all of them have a header.

    Raises:
        DataError: If the file is not TOML, or a key is unknown, absent, or not of the stated form.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected a TOML file, got one that cannot be read ({error}); mend it"
        ) from error
    unknown = sorted(set(values) - set(_KEYS))
    if unknown:
        raise DataError(
            f"{path}: expected the keys {', '.join(_KEYS)}, got {unknown[0]!r}; remove or rename it"
        )
    texts = _words(path, values, "texts", (1, 2))
    label = _word(path, values, "label")
    index = _word(path, values, "index") if "index" in values else None
    if ("labels" in values) == ("label_range" in values):
        got = "both" if "labels" in values else "neither"
        raise DataError(f"{path}: expected either `labels` or `label_range`, got {got}; give one of them")
    labels = _words(path, values, "labels", range(2, 10_000)) if "labels" in values else ()
    splits = (
        Split("train", f"{name}/train.tsv", texts, label),
        Split("dev", f"{name}/dev.tsv", texts, label),
        Split("test", f"{name}/test.tsv", texts, None, index, required=False, submission=f"{name}.tsv"),
    )
    label_range = None if labels else _range(path, values["label_range"])
    return Task(name, splits, labels, _metrics(path, values, labels), label_range=label_range)


def _error(path: Path, key: str, expected: str, got: object) -> DataError:
    return DataError(f"{path}: expected `{key}` to be {expected}, got {got!r}; mend that line")


def _word(path: Path, values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value or set(value) & set("\t\r\n"):
        raise _error(path, key, "a column's name", value)
    return value


def _words(
    path: Path, values: Mapping[str, Any], key: str, counts: range | tuple[int, ...]
) -> tuple[str, ...]:
    value = values.get(key)
    few = "one or two" if counts == (1, 2) else "two or more"
    is_list = isinstance(value, list) and all(isinstance(item, str) and item for item in value)
    if not is_list or value is None or len(set(value)) != len(value) or len(value) not in counts:
        raise _error(path, key, f"a list of {few} different texts", value)
    return tuple(value)


def _range(path: Path, value: object) -> tuple[float, float]:
    if isinstance(value, list) and len(value) == 2 and all(type(item) in (int, float) for item in value):
        low, high = float(value[0]), float(value[1])
        if float("-inf") < low < high < float("inf"):
            return low, high
    raise _error(path, "label_range", "the smallest and the largest score", value)


def _metrics(path: Path, values: Mapping[str, Any], labels: tuple[str, ...]) -> tuple[str, ...]:
    possible: tuple[str, ...] = CLASS_METRICS if labels else SCORE_METRICS
    if len(labels) > 2:
        possible = tuple(metric for metric in possible if metric != "f1")
    value = values.get("metrics")
    is_list = isinstance(value, list) and len(value) > 0
    if not is_list or value is None or any(metric not in possible for metric in value):
        raise _error(path, "metrics", f"a list out of {', '.join(possible)}", value)
    return tuple(value)
