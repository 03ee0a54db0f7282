"""Which columns hold the texts, the label and the split: as the user names them, or guessed by name and content."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from pkd_core.errors import DataError, listed, quoted
from pkd_core.own_data.names import LABELS, PAIRS, TEXTS, is_id, is_split_column, simple_name, split_of
from pkd_core.own_data.request import DataRequest
from pkd_core.own_data.source import Batch, Source


class NoLabelsError(DataError):
    """A file holds texts and nothing that may be a label.

    Args:
        message: What is missing, and what to do.
        texts: Its one or two columns of texts.
    """

    def __init__(self, message: str, texts: tuple[str, ...]) -> None:
        super().__init__(message)
        self.texts = texts


@dataclass(frozen=True)
class Columns:
    """The columns that are read.

    Attributes:
        texts: One or two.
        labels: One; several if each holds 0 or 1.
        split: The column that says train, dev or test; None if none does.
        notes: How they were chosen, as sentences.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    split: str | None
    notes: tuple[str, ...]


def choose_columns(source: Source, request: DataRequest, has_split_files: bool) -> Columns:
    """Return the columns of the first file: those that are given, and guesses for the others.

    Args:
        source: The training data.
        request: Names the columns that the user gives.
        has_split_files: Whether files say which rows are dev or test, so that no column is looked for.

    Raises:
        NoLabelsError: There is no column but those of texts.
        DataError: A given column does not exist, or nothing tells which column is meant.
    """
    given = (*request.texts, *request.label, *([request.split_column] if request.split_column else []))
    for name in given:
        _check(source, name)
    if len(set(given)) < len(given):
        raise DataError(f"each column is text, label or split, got {listed(given)}; name each column once")
    sample = source.first_rows()
    if not any(sample.values()):
        raise DataError(f"{source.path}: expected rows below the header, got none; add some")
    split = request.split_column or (None if has_split_files else _split_column(source, sample, given))
    free = [name for name in source.columns if name not in (*given, split)]
    texts, how_texts = (request.texts, "given") if request.texts else _texts(source, free, sample, request)
    free = [name for name in free if name not in texts]
    if not request.label and all(map(is_id, free)):
        columns = listed(source.columns) + (f", and {split!r} says which rows are train" if split else "")
        raise NoLabelsError(
            f"{source.path} has texts and no labels (its columns are {columns}); add a column of labels, give these "
            "texts as --unlabelled beside a file that has labels, or give a --teacher, whose answers are then the "
            "labels",
            tuple(texts),
        )
    labels, how_label = (request.label, "given") if request.label else _label(source, free, sample)
    free = [name for name in free if name not in labels]
    notes = [
        f"Texts: {_shown(texts)} ({how_texts}). Label: {_shown(labels)} ({how_label}).",
        *([f"Split: {split!r} says which rows are train, dev and test."] if split else []),
        *([f"Other columns are not used: {listed(free)}."] if free else []),
    ]
    return Columns(tuple(texts), tuple(labels), split, tuple(notes))


def _shown(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names)) if len(names) <= 3 else listed(names)


def text_columns_of(source: Source, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of another file that hold the same texts; the only column of a file may have any name.

    Raises:
        DataError: A column is missing.
    """
    if len(texts) == 1 and len(source.columns) == 1:
        return source.columns
    for name in texts:
        _check(source, name)
    return tuple(texts)


def _check(source: Source, name: str) -> None:
    if name not in source.columns:
        near = difflib.get_close_matches(name, source.columns, n=1)
        hint = f"the nearest is {near[0]!r}" if near else "give one of these"
        raise DataError(
            f"{source.path} has no column {quoted(name)}; its columns are {listed(source.columns)}: {hint}"
        )


def _split_column(source: Source, sample: Batch, given: Sequence[str]) -> str | None:
    for name in source.columns:
        if name not in given and is_split_column(name):
            values = {str(value) for value in sample[name] if value not in (None, "")}
            if values and all(split_of(value) for value in values):
                return name
    return None


def _texts(
    source: Source, free: Sequence[str], sample: Batch, request: DataRequest
) -> tuple[tuple[str, ...], str]:
    by_name = {simple_name(name): name for name in reversed(free)}
    for pair in PAIRS:
        if all(name in by_name for name in pair):
            return tuple(by_name[name] for name in pair), "guessed by their names; --text names others"
    words = {name: _mean_words(sample[name]) for name in free if not is_id(name)}
    for name in TEXTS:
        if name in by_name and words.get(by_name[name]):
            return (by_name[name],), "guessed by its name; --text names another, or two"
    # Columns of one word a row are labels.
    long = sorted((name for name in words if words[name] > 1.5), key=lambda name: -words[name])
    if len(long) == 1 or (len(long) > 1 and words[long[0]] > 2 * words[long[1]]):
        return (long[0],), "guessed, as its texts are the longest; --text names another, or two"
    _check_are_texts(source, free, sample)
    wordy = [name for name in words if words[name]]
    if len(wordy) == 1 or (len(wordy) == 2 and not request.label and _num_distinct(sample, wordy)):
        best = max(wordy, key=lambda name: len({str(value) for value in sample[name]}))
        return (best,), "guessed, as its texts differ most; --text names another, or two"
    raise DataError(
        f"{source.path} does not say which of its columns holds the texts ({listed(source.columns)}); name it with "
        "--text"
    )


def _check_are_texts(source: Source, free: Sequence[str], sample: Batch) -> None:
    """Check that the columns that may hold texts are neither empty nor made of lists and objects.

    Raises:
        DataError: One of them is called as texts usually are, and is empty; or all hold lists or objects.
    """
    empty = [name for name in free if all(value in (None, "") for value in sample[name])]
    named = [name for name in empty if simple_name(name) in TEXTS]
    if named:
        raise DataError(
            f"{source.path}: expected texts in the column {quoted(named[0])}, got none in the first rows; fill them "
            "in, or name another column with --text"
        )
    nested = [name for name in free if any(isinstance(value, list | dict) for value in sample[name])]
    if nested and set(free) <= {*nested, *empty}:
        raise DataError(
            f"{source.path}: expected a text in each row, got lists or objects (in {listed(nested)}); write an object "
            'such as {"text": ..., "label": ...} for each text'
        )


def _num_distinct(sample: Batch, names: Sequence[str]) -> bool:
    first, second = (len({str(value) for value in sample[name]}) for name in names)
    return first != second


def _label(source: Source, free: Sequence[str], sample: Batch) -> tuple[tuple[str, ...], str]:
    by_name = {simple_name(name): name for name in reversed(free)}
    for name in LABELS:
        if name in by_name:
            return (by_name[name],), "guessed by its name; --label names another"
    candidates = [name for name in free if not is_id(name) and _may_be_label(sample[name])]
    if len(candidates) == 1:
        how = "as it is the only other column" if len(free) == 1 else "as few values come again and again"
        return (candidates[0],), f"guessed, {how}; --label names another"
    raise DataError(
        f"{source.path} does not say which of its columns is the label ({listed(source.columns)}); name it with --label"
    )


def _may_be_label(values: Sequence[object]) -> bool:
    filled = [repr(value) for value in values if value not in (None, "")]
    return bool(filled) and len(set(filled)) <= max(2, len(filled) // 2)


def _mean_words(values: Sequence[object]) -> float:
    """Return the mean number of words of a column of texts; 0 if it holds numbers, lists or nothing."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    if not texts or any(value is not None and not isinstance(value, str) for value in values):
        return 0.0
    if all(_is_number(text) for text in texts):
        return 0.0
    return sum(len(text.split()) for text in texts) / len(texts)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
