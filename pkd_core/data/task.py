"""A task and its splits: files, columns, labels and metrics."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pkd_core.errors import DataError, quoted

Column = str | int

# Between several labels of an example, in TSV files of labels and in comparisons.
LABEL_SEPARATOR = "|"


@dataclass(frozen=True)
class Split:
    """One file of a task: TSV, or Parquet if its name ends in ".parquet".

    Attributes:
        name: "train", "dev", "test", or one of MNLI's additional splits.
        file: Path relative to data_raw, with forward slashes.
        texts: One or two columns: names, or positions from 0 if the file has no header.
        label: The label's column; None for an unlabelled file.
        index: The column of the example ids; None to number the examples by line.
        header: Whether the first line names the columns.
        required: Whether the file must exist.
        submission: Name of this split's submission file for the GLUE server.
    """

    name: str
    file: str
    texts: tuple[Column, ...]
    label: Column | None
    index: Column | None = None
    header: bool = True
    required: bool = True
    submission: str | None = None


@dataclass(frozen=True)
class Task:
    """A classification or regression task.

    Attributes:
        name: GLUE's spelling, or the folder's name in data_raw of a custom task.
        splits: All files of the task.
        labels: Label texts in the order of the model's outputs; empty for a regression task.
        metrics: Dev metrics; the first selects the best epoch.
        max_bad_lines: Maximum number of malformed lines that are skipped in a labelled file.
        label_range: Smallest and largest score of a regression task.
        num_choices: Sequences of an example, each scored with one output; more than 1 in a multiple-choice task, whose
            labels are the choices.
        multi_label: Whether an example has any number of the labels, none included, instead of exactly one.
        labelled_by: Names of the teachers whose answers the labels are; empty if people gave them.
    """

    name: str
    splits: tuple[Split, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    max_bad_lines: int = 0
    label_range: tuple[float, float] | None = None
    num_choices: int = 1
    multi_label: bool = False
    labelled_by: str = ""

    @property
    def is_regression(self) -> bool:
        """Whether the label is a score, not one or several classes."""
        return not self.labels

    @property
    def num_outputs(self) -> int:
        """Number of model outputs for a sequence: the number of labels; 1 for a score, and for a choice."""
        return 1 if self.num_choices > 1 else len(self.labels) or 1

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Names of the one or two columns of texts, as the first file with a header calls them."""
        return text_columns(self.splits)

    @property
    def train_split(self) -> Split:
        """The split to train on."""
        return self.split("train")

    @property
    def dev_splits(self) -> tuple[Split, ...]:
        """Labelled splits to evaluate on, a labelled test split last; the first selects the best epoch."""
        return tuple(split for split in self.splits if split.label is not None and split.name != "train")

    @property
    def test_splits(self) -> tuple[Split, ...]:
        """Unlabelled splits, which are predicted and never scored."""
        return tuple(split for split in self.splits if split.label is None)

    @property
    def unlabelled_split(self) -> Split:
        """Further texts that a teacher may label, with the columns of the other files; no label of theirs is read."""
        like = self.test_splits[0] if self.test_splits else self.train_split
        file = f"{self.name}/unlabelled.{'parquet' if is_parquet(like.file) else 'tsv'}"
        return replace(
            like, name="unlabelled", file=file, label=None, index=None, required=False, submission=None
        )

    def split(self, name: str) -> Split:
        """Return a split by its name.

        Raises:
            DataError: If the task has no such split.
        """
        for split in self.splits:
            if split.name == name:
                return split
        names = ", ".join(split.name for split in self.splits)
        raise DataError(
            f"{self.name}: expected one of its splits ({names}), got {quoted(name)}; choose one of them"
        )


def text_columns(splits: Sequence[Split]) -> tuple[str, ...]:
    """Return the names of the one or two columns of texts, as the first file with a header calls them.

    Files without headers call them nothing: then they are "text", or "text_a" and "text_b".
    """
    for split in splits:
        names = tuple(column for column in split.texts if isinstance(column, str))
        if len(names) == len(split.texts):
            return names
    return ("text",) if len(splits[0].texts) == 1 else ("text_a", "text_b")


def is_parquet(file: str) -> bool:
    """Return whether a split's file is Parquet, by its name."""
    return file.endswith(".parquet")


def standard_splits(
    name: str,
    texts: tuple[Column, ...],
    label: Column,
    index: Column | None,
    suffix: str = "tsv",
    labelled_test: bool = False,
) -> tuple[Split, Split, Split]:
    """Return a task's train, dev and test files, all with headers, in the task's folder.

    Args:
        name: The task's name, and its folder's.
        texts: One or two columns.
        label: The label's column.
        index: The column of example ids in an unlabelled test file.
        suffix: What the files' names end in.
        labelled_test: Whether the test file has labels, and must exist; it is scored then, and selects nothing.
    """
    test = f"{name}/test.{suffix}"
    return (
        Split("train", f"{name}/train.{suffix}", texts, label),
        Split("dev", f"{name}/dev.{suffix}", texts, label),
        Split("test", test, texts, label)
        if labelled_test
        else Split("test", test, texts, None, index, required=False, submission=f"{name}.tsv"),
    )
