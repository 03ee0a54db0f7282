"""The table of GLUE's tasks as its files are distributed, and the way to any task by its name."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pkd_core.data.custom_task import TASK_FILE, read_custom_task
from pkd_core.data.task import Column, Split, Task
from pkd_core.errors import DataError

__all__ = ["GLUE_TASKS", "Split", "Task", "load_task"]


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
    splits = (
        Split("train", f"{name}/train.tsv", texts, label),
        Split("dev", f"{name}/dev.tsv", texts, label),
        Split("test", f"{name}/test.tsv", texts, None, index, required=False, submission=f"{name}.tsv"),
    )
    return Task(name, splits, labels, metrics, max_bad_lines, label_range)


def _cola() -> Task:
    columns: tuple[Column, ...] = (3,)
    splits = (
        Split("train", "CoLA/train.tsv", columns, label=1, header=False),
        Split("dev", "CoLA/dev.tsv", columns, label=1, header=False),
        Split("test", "CoLA/test.tsv", ("sentence",), None, "index", required=False, submission="CoLA.tsv"),
    )
    return Task("CoLA", splits, ("0", "1"), ("matthews", "accuracy"))


def _mnli() -> Task:
    texts = ("sentence1", "sentence2")
    splits = (
        Split("train", "MNLI/train.tsv", texts, "gold_label"),
        Split("dev", "MNLI/dev_matched.tsv", texts, "gold_label"),
        Split("dev-mismatched", "MNLI/dev_mismatched.tsv", texts, "gold_label"),
        *(
            Split(name, file, texts, None, "index", required=False, submission=submission)
            for name, file, submission in (
                ("test", "MNLI/test_matched.tsv", "MNLI-m.tsv"),
                ("test-mismatched", "MNLI/test_mismatched.tsv", "MNLI-mm.tsv"),
                ("ax", "AX/AX.tsv", "AX.tsv"),
            )
        ),
    )
    return Task("MNLI", splits, ("contradiction", "entailment", "neutral"), ("accuracy",))


_SENTENCES = ("sentence1", "sentence2")
_ENTAILMENT = ("entailment", "not_entailment")

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
            # As distributed, stray newlines break about 20 of QQP's 363,870 training lines.
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
    """Return GLUE's task of that name, or else the user's own, described in `data_raw/<name>/task.toml`.

    Raises:
        DataError: If there is no such task, its name is no plain folder name, or its description is bad.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise DataError(
            f"expected a task's name of up to 100 letters, digits, '.', '_' or '-', got {name!r}; rename its folder"
        )
    if name in GLUE_TASKS:
        return GLUE_TASKS[name]
    if name == "AX":
        raise DataError(
            "AX has nothing to train on: MNLI's models predict it; put AX.tsv into data_raw/AX and run MNLI."
        )
    task_file = data_raw / name / TASK_FILE
    if task_file.is_file():
        return read_custom_task(name, task_file)
    own_names = sorted(path.parent.name for path in data_raw.glob(f"*/{TASK_FILE}"))
    known = {known.casefold(): known for known in (*GLUE_TASKS, *own_names)}
    near = difflib.get_close_matches(name.casefold(), known, n=3) or list(known)
    raise DataError(
        f"expected a known task, got {name!r}; choose a near one ({', '.join(known[key] for key in near)})"
        f" or describe yours in {task_file}"
    )
