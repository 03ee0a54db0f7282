"""Reading a split that is a Parquet file: a column of strings for each text, and one of the labels.

Labels are strings; lists of strings, in a task of several labels; or numbers, in a task of scores.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pkd_core.data.task import Column, Split, Task
from pkd_core.data.tsv import Example, Label
from pkd_core.errors import DataError, listed, quoted, reason

_BATCH_ROWS = 4096


def read_parquet(path: Path, task: Task, split: Split) -> Iterator[Example]:
    """Yield the examples of a split, numbered from 0, with one batch of rows in memory.

    Args:
        path: The split's file.
        task: Defines the labels, or the range of scores.
        split: Defines the columns, by name.

    Raises:
        DataError: The file is no Parquet, a column is missing or of another type, a value is missing, or a label is
            none of the task's. Rows are counted from 1.
    """
    columns = [*split.texts] if split.label is None else [*split.texts, split.label]
    parse_label = _label_parser(task)
    number = 0
    for batch in _batches(path, split, columns):
        rows = zip(*(batch.column(position).to_pylist() for position in range(len(columns))), strict=True)
        for values in rows:
            texts = values[: len(split.texts)]
            if not all(isinstance(text, str) for text in texts):
                raise DataError(
                    f"{path}: row {number + 1}: expected a text, got {quoted(list(texts))}; fix the file"
                )
            try:
                label = None if split.label is None else parse_label(values[-1])
            except _LabelError as error:
                raise DataError(f"{path}: row {number + 1}: {error}; fix the file") from None
            yield Example(number, texts, label)
            number += 1
    if not number:
        raise DataError(f"{path}: expected at least one example, got none; fix the file")


def count_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file.

    Raises:
        DataError: It is none.
    """
    with _open(path) as file:
        return int(file.metadata.num_rows)


class _LabelError(Exception):
    """A label that the task does not have; the message holds what was expected and got."""


def _batches(path: Path, split: Split, columns: list[Column]) -> Iterator[pa.RecordBatch]:
    with _open(path) as file:
        names = file.schema_arrow.names
        for column in columns:
            if names.count(column) != 1:
                raise DataError(
                    f"{path}: expected the column {quoted(column)} once for the {split.name} split, got the columns "
                    f"{listed(names)}; fix the file"
                )
        try:
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
                yield batch.select(columns)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: expected a readable Parquet file, got {reason(error)}; put the file there")


def _label_parser(task: Task) -> Callable[[Any], Label]:
    if task.label_range:
        return _score_parser(task.label_range)
    parse_class = _class_parser(task.labels)
    return _classes_parser(parse_class) if task.multi_label else parse_class


def _class_parser(labels: tuple[str, ...]) -> Callable[[Any], int]:
    positions = {label: position for position, label in enumerate(labels)}

    def parse(value: Any) -> int:
        if not isinstance(value, str) or value not in positions:
            raise _LabelError(f"expected a label out of {listed(labels)}, got {quoted(value)}")
        return positions[value]

    return parse


def _classes_parser(parse_class: Callable[[Any], int]) -> Callable[[Any], Label]:
    def parse(value: Any) -> tuple[int, ...]:
        if not isinstance(value, list) or len(set(value)) < len(value):
            raise _LabelError(f"expected a list of different labels, got {quoted(value)}")
        return tuple(sorted(map(parse_class, value)))

    return parse


def _score_parser(label_range: tuple[float, float]) -> Callable[[Any], Label]:
    low, high = label_range

    def parse(value: Any) -> float:
        if not isinstance(value, int | float) or not low <= value <= high:
            raise _LabelError(f"expected a score from {low} to {high}, got {quoted(value)}")
        return float(value)

    return parse
