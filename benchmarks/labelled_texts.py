"""Labelled texts of a CSV file, for the benchmark of users' own classifiers."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LabelledTexts:
    """Texts, and each one's label as a position among `names`."""

    texts: Sequence[str]
    labels: Sequence[int]
    names: Sequence[str]


def read_texts(path: Path, names: Sequence[str] | None = None, num_rows: int | None = None) -> LabelledTexts:
    """Read a CSV file whose first two columns are text and label.

    Args:
        path: The file, with a header.
        names: The labels in order; by default those of the file, sorted.
        num_rows: How many of its rows to keep, evenly spread over the file; all if None.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row[:2] for row in csv.reader(file)][1:]
    names = names or sorted({label for _, label in rows})
    kept = rows if num_rows is None else [rows[place * len(rows) // num_rows] for place in range(num_rows)]
    positions = {name: position for position, name in enumerate(names)}
    return LabelledTexts([text for text, _ in kept], [positions[label] for _, label in kept], names)
