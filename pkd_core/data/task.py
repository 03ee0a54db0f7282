"""A task and its splits: which files, which of their columns, which labels, which metrics."""

from dataclasses import dataclass

from pkd_core.errors import DataError

Column = str | int


@dataclass(frozen=True)
class Split:
    """One TSV file of a task.

    Attributes:
        name: "train", "dev", "test", or one of MNLI's further splits.
        file: Path relative to data_raw, with forward slashes.
        texts: One or two columns: names, or positions from 0 where the file has no header.
        label: The label's column; None where the file has no labels.
        index: The column that numbers the examples for the GLUE server; None where the lines' order does.
        header: Whether the first line names the columns.
        required: Whether the task cannot do without the file.
        submission: Name of the file that the GLUE server wants for this split.
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
    """What is to be predicted from which files.

    Attributes:
        name: GLUE's own spelling, or the name of the user's folder in data_raw.
        splits: Every file that the task knows of.
        labels: Label texts in the order of the model's outputs; empty for a regression task.
        metrics: Names of the dev metrics; the first selects the best epoch.
        max_bad_lines: How many bad lines of one labelled file are skipped before reading fails.
        label_range: Smallest and largest score of a regression task.
    """

    name: str
    splits: tuple[Split, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    max_bad_lines: int = 0
    label_range: tuple[float, float] | None = None

    @property
    def is_regression(self) -> bool:
        """Whether the label is a score rather than a class."""
        return not self.labels

    @property
    def num_outputs(self) -> int:
        """Number of the model's outputs: the classes, or 1 for a score."""
        return len(self.labels) or 1

    @property
    def train_split(self) -> Split:
        """The split that models learn from."""
        return self.split("train")

    @property
    def dev_splits(self) -> tuple[Split, ...]:
        """Labelled splits which models are scored on; the first selects the best epoch."""
        return tuple(split for split in self.splits if split.label is not None and split.name != "train")

    @property
    def test_splits(self) -> tuple[Split, ...]:
        """Unlabelled splits, which are predicted and never scored."""
        return tuple(split for split in self.splits if split.label is None)

    def split(self, name: str) -> Split:
        """Return the split of that name.

        Raises:
            DataError: If the task has no such split.
        """
        for split in self.splits:
            if split.name == name:
                return split
        names = ", ".join(split.name for split in self.splits)
        raise DataError(
            f"{self.name}: expected one of its splits ({names}), got {name!r}; choose one of these"
        )
