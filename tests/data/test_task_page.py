"""docs/tasks.md names every key of task.toml, and every metric; what it shows can be read."""

import re
from pathlib import Path

from pkd_core.data.custom_task import (
    CLASS_METRICS,
    KEYS,
    MULTI_LABEL_METRICS,
    SCORE_METRICS,
    read_custom_task,
)
from pkd_core.data.tsv import read_examples

PAGE = (Path(__file__).resolve().parents[2] / "docs/tasks.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """Return the page's only code block of a language."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


def test_each_key_has_a_row() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == sorted(KEYS)


def test_the_metrics_are_those_of_each_kind_of_task() -> None:
    rows = re.findall(
        r"^\| (?:one of several labels|any number of labels|scores) \| (`\w+`.*) \|$", PAGE, re.MULTILINE
    )
    assert [tuple(re.findall(r"`(\w+)`", row)) for row in rows] == [
        CLASS_METRICS,
        MULTI_LABEL_METRICS,
        SCORE_METRICS,
    ]


def test_the_example_is_read(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(block("toml"), encoding="utf-8")
    (tmp_path / "train.tsv").write_text(block("text"), encoding="utf-8")
    task = read_custom_task("Reviews", tmp_path / "task.toml")
    assert [split.name for split in task.dev_splits] == ["dev", "test"]
    examples = list(read_examples(tmp_path / "train.tsv", task, task.train_split))
    assert examples == [(0, ('A quiet, "moving" film.',), 1), (1, ("Two hours too long.",), 0)]
