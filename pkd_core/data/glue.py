"""GLUE's tasks as their files are distributed, and loading a task by its name."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pkd_core.data.custom_task import TASK_FILE, read_custom_task
from pkd_core.data.race import RACE
from pkd_core.data.task import Split, Task, standard_splits
from pkd_core.errors import DataError, listed, quoted
from pkd_core.store.address import is_reserved

__all__ = ["GLUE_TASKS", "Split", "Task", "load_task"]

_SENTENCES = ("sentence1", "sentence2")
_ENTAILMENT = ("entailment", "not_entailment")


def _glue_task(
    name: str,
    texts: tuple[str, ...],
    labels: tuple[str, ...] = ("0", "1"),
    metrics: tuple[str, ...] = ("accuracy",),
    *,
    label: str = "label",
    index: str = "index",
    max_bad_lines: int = 0,
    label_range: tuple[float, float] | None = None,
) -> Task:
    splits = standard_splits(name, texts, label, index)
    return Task(name, splits, labels, metrics, max_bad_lines, label_range)


def _cola() -> Task:
    *_, test = standard_splits("CoLA", ("sentence",), "label", "index")
    splits = (
        Split("train", "CoLA/train.tsv", (3,), label=1, header=False),
        Split("dev", "CoLA/dev.tsv", (3,), label=1, header=False),
        test,
    )
    return Task("CoLA", splits, ("0", "1"), ("matthews", "accuracy"))


def _mnli() -> Task:
    def labelled(name: str, file: str) -> Split:
        return Split(name, file, _SENTENCES, "gold_label")

    def unlabelled(name: str, file: str, submission: str) -> Split:
        return Split(name, file, _SENTENCES, None, "index", required=False, submission=submission)

    splits = (
        labelled("train", "MNLI/train.tsv"),
        labelled("dev", "MNLI/dev_matched.tsv"),
        labelled("dev-mismatched", "MNLI/dev_mismatched.tsv"),
        unlabelled("test", "MNLI/test_matched.tsv", "MNLI-m.tsv"),
        unlabelled("test-mismatched", "MNLI/test_mismatched.tsv", "MNLI-mm.tsv"),
        unlabelled("ax", "AX/AX.tsv", "AX.tsv"),
    )
    return Task("MNLI", splits, ("contradiction", "entailment", "neutral"), ("accuracy",))


GLUE_TASKS: Mapping[str, Task] = MappingProxyType(
    {
        task.name: task
        for task in (
            _cola(),
            _glue_task("SST-2", ("sentence",)),
            _glue_task("MRPC", ("#1 String", "#2 String"), metrics=("accuracy", "f1"), label="Quality"),
            _glue_task(
                "STS-B", _SENTENCES, (), ("pearson", "spearman"), label="score", label_range=(0.0, 5.0)
            ),
            # Stray newlines break about 20 of the 363,870 training lines as distributed.
            _glue_task(
                "QQP",
                ("question1", "question2"),
                metrics=("accuracy", "f1"),
                label="is_duplicate",
                index="id",
                max_bad_lines=64,
            ),
            _mnli(),
            _glue_task("QNLI", ("question", "sentence"), _ENTAILMENT),
            _glue_task("RTE", _SENTENCES, _ENTAILMENT),
            _glue_task("WNLI", _SENTENCES),
        )
    }
)


def load_task(name: str, data_raw: Path) -> Task:
    """Return a GLUE task, RACE, or the custom task described in `data_raw/<name>/task.toml`.

    Raises:
        DataError: If there is no such task, the name is not a plain folder name, or its description is invalid.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise DataError(
            f"expected a task's name of up to 100 letters, digits, '.', '_' or '-', got {quoted(name)}; rename its "
            "folder"
        )
    if is_reserved(name):
        raise DataError(
            f"{name} cannot be a task, because pkd keeps its own files at artifacts/{name}; rename its folder"
        )
    if name in GLUE_TASKS:
        return GLUE_TASKS[name]
    if name == "AX":
        raise DataError(
            "AX has no training data: MNLI's models predict it; put AX.tsv into data_raw/AX and run MNLI."
        )
    task_file = data_raw / name / TASK_FILE
    if task_file.is_file():
        return read_custom_task(name, task_file)
    if name == RACE.name:
        return RACE
    custom_names = sorted(path.parent.name for path in data_raw.glob(f"*/{TASK_FILE}"))
    known = {task.casefold(): task for task in (*GLUE_TASKS, *custom_names)}
    near = difflib.get_close_matches(name.casefold(), known, n=3) or list(known)
    raise DataError(
        f"expected a known task, got {quoted(name)}; choose a similar one ({listed([known[key] for key in near])})"
        f" or describe your task in {task_file}"
    )
