"""Labels as a user's files write them: which kind they are, what they are called, and their order.

A cell becomes a text, several texts, or None where there is no label: see `label_of`.
"""

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pkd_core.data.task import LABEL_SEPARATOR
from pkd_core.errors import DataError, listed, quoted
from pkd_core.own_data.request import DataRequest, Kind

RawLabel = str | tuple[str, ...]
# A class position, the positions of several labels, or a score.
Value = int | tuple[int, ...] | float

_MAX_CLASSES = 9_999
_MANY_NUMBERS = 30
_ONES, _ZEROS = ("1", "1.0", "true"), ("0", "0.0", "false", "")


class LabelError(Exception):
    """A cell that is no label; the message holds what was expected and got."""


@dataclass(frozen=True)
class Labels:
    """What the labels mean.

    Attributes:
        kind: Classes, several labels of a text, or scores.
        names: Names of the classes in the order of the model's outputs; empty for scores.
        range: Smallest and largest score; None for classes.
        values: What each label in the files stands for.
        notes: How this was decided, as sentences.
    """

    kind: Kind
    names: tuple[str, ...]
    range: tuple[float, float] | None
    values: Mapping[RawLabel, Value] = field(repr=False)
    notes: tuple[str, ...]

    def positions(self, raw: RawLabel) -> tuple[int, ...]:
        """Return the classes that a label names; none for a score."""
        value = self.values[raw]
        return () if self.range else value if isinstance(value, tuple) else (int(value),)


def label_of(cell: object, class_names: Sequence[str] = ()) -> RawLabel | None:
    """Return a cell's label, without white space around it; None if the cell is empty.

    Args:
        cell: A text, number, truth value, list of these, or None.
        class_names: Names of its numbers, where the file has them; a number below 0 is no label.

    Raises:
        LabelError: It is something else, or a number without a name.

    >>> label_of(" joy "), label_of(2), label_of(True), label_of(["b", "a"]), label_of(""), label_of(1, ["no", "yes"])
    ('joy', '2', 'true', ('b', 'a'), None, 'yes')
    """
    if isinstance(cell, list | tuple):
        several = [label_of(one, class_names) for one in cell]
        if any(not isinstance(one, str) for one in several):
            raise LabelError(f"expected a list of labels, got {quoted(cell)}")
        return tuple(dict.fromkeys(str(one) for one in several))
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, int) and class_names:
        if cell >= len(class_names):
            raise LabelError(f"expected a number below {len(class_names)}, got {cell}")
        return class_names[cell] if cell >= 0 else None
    if not isinstance(cell, str | int | float):
        raise LabelError(f"expected a text or a number as label, got {quoted(cell)}")
    return str(cell).strip() or None


def label_of_columns(cells: Sequence[object], names: Sequence[str]) -> RawLabel:
    """Return the names of the columns that hold 1.

    Raises:
        LabelError: A cell holds neither 0 nor 1.
    """
    found = []
    for cell, name in zip(cells, names, strict=True):
        text = "" if cell is None else str(cell).strip().lower()
        if text not in (*_ONES, *_ZEROS):
            raise LabelError(f"expected 0 or 1 in the column {quoted(name)}, got {quoted(cell)}")
        if text in _ONES:
            found.append(name)
    return tuple(found)


def understand(counts: Mapping[RawLabel, int], request: DataRequest, order: Sequence[str]) -> Labels:
    """Decide what the labels of all files are.

    Args:
        counts: How often each label occurs.
        request: May name the kind and what stands between several labels.
        order: The classes' order, where the files or the user give it.

    Raises:
        DataError: They fit no kind, or leave nothing to learn.
    """
    if not counts:
        raise DataError(
            f"{request.data}: expected labels, got none in any row; name their column with --label"
        )
    texts = [raw for raw in counts if isinstance(raw, str)]
    if request.label_separator is None and not texts:
        return _several({raw: tuple(raw) for raw in counts}, request, order)
    if len(texts) < len(counts):
        single = next(raw for raw in counts if isinstance(raw, str))
        raise DataError(
            f"{request.data}: expected a list of labels in each row, got {quoted(single)} in one; write it as a list"
        )
    if request.label_separator is not None:
        parts: dict[RawLabel, tuple[str, ...]] = {
            text: tuple(
                dict.fromkeys(part.strip() for part in text.split(request.label_separator) if part.strip())
            )
            for text in texts
        }
        return _several(parts, request, order)
    if all(text.startswith("[") and text.endswith("]") for text in texts):
        return _several({text: _list_of(text, request) for text in texts}, request, order)
    if request.kind == "multi-label":
        raise DataError(
            f"{request.data}: expected several labels in a row, as a list or with --label-separator between them, got "
            f"{quoted(texts[0])}; or name several columns of 0 and 1 with --label"
        )
    if request.kind == "regression":
        return _scores(texts, request, "as --kind says")
    numbers = [_number(text) for text in texts]
    if (
        request.kind is None
        and None not in numbers
        and (why := _why_scores([one for one in numbers if one is not None]))
    ):
        return _scores(texts, request, f"as {why}; --kind classes reads them as classes")
    return _classes({str(raw): count for raw, count in counts.items()}, request, order)


def _classes(counts: Mapping[str, int], request: DataRequest, order: Sequence[str]) -> Labels:
    numbers = {text: number for text in counts if (number := _number(text)) is not None}
    are_whole = len(numbers) == len(counts) and all(number.is_integer() for number in numbers.values())
    # 1 and 1.0 are one class.
    name_of = {text: str(int(numbers[text])) if are_whole else text for text in counts}
    found = set(name_of.values())
    num_rows = sum(counts.values())
    if len(found) > _MAX_CLASSES or (len(found) > 20 and 2 * len(found) > num_rows):
        separators = [mark for mark in "|;,/" if sum(mark in text for text in counts) > len(counts) // 2]
        remedy = f"give --label-separator {separators[0]!r}, or " if separators else ""
        raise DataError(
            f"{request.data}: expected classes that come again and again, got {len(found)} different labels in "
            f"{num_rows} rows, such as {quoted(next(iter(counts)))}; {remedy}name the right column with --label"
        )
    if len(found) < 2:
        raise DataError(
            f"{request.data}: expected at least two classes, got {quoted(next(iter(found)))} in every row; add rows of "
            "another class, or name another column with --label"
        )
    names = _ordered(found, order, are_whole)
    notes = [f"{len(names)} classes: {listed(names)}."]
    if are_whole:
        notes = [
            f"{len(names)} classes with numbers for names: {listed(names)}; --kind regression reads scores."
        ]
    positions = {name: position for position, name in enumerate(names)}
    values: dict[RawLabel, Value] = {text: positions[name] for text, name in name_of.items()}
    return Labels("classes", names, None, values, (*notes, *_nearly_equal(names), *_maybe_several(names)))


def _several(parts: Mapping[RawLabel, tuple[str, ...]], request: DataRequest, order: Sequence[str]) -> Labels:
    if request.kind in ("classes", "regression"):
        raise DataError(
            f"{request.data}: expected one label in each row, as --kind {request.kind} says, got lists of labels; "
            "leave --kind out"
        )
    found = {name for names in parts.values() for name in names}
    if bad := next((name for name in found if LABEL_SEPARATOR in name), None):
        raise DataError(
            f"{request.data}: expected names of labels without {LABEL_SEPARATOR!r}, got {quoted(bad)}; give "
            f"--label-separator '{LABEL_SEPARATOR}' if it stands between labels"
        )
    if len(found) < 2:
        raise DataError(
            f"{request.data}: expected at least two different labels, got {listed(sorted(found)) or 'none'}; name "
            "another column with --label"
        )
    if len(found) > _MAX_CLASSES:
        raise DataError(
            f"{request.data}: expected at most {_MAX_CLASSES} labels, got {len(found)}; name another column with "
            "--label"
        )
    names = _ordered(found, order, False)
    positions = {name: position for position, name in enumerate(names)}
    values = {raw: tuple(sorted(positions[name] for name in of_raw)) for raw, of_raw in parts.items()}
    return Labels(
        "multi-label", names, None, values, (f"Any number of {len(names)} labels: {listed(names)}.",)
    )


def _scores(texts: Sequence[str], request: DataRequest, why: str) -> Labels:
    values: dict[RawLabel, Value] = {}
    for text in texts:
        number = _number(text)
        if number is None:
            raise DataError(
                f"{request.data}: expected numbers as scores, got {quoted(text)}; leave --kind out"
            )
        values[text] = number
    scores = [float(number) for number in values.values() if not isinstance(number, tuple)]
    low, high = min(scores), max(scores)
    if low == high:
        raise DataError(
            f"{request.data}: expected different scores, got {low:g} in every row; name another column with --label"
        )
    return Labels("regression", (), (low, high), values, (f"Scores from {low:g} to {high:g}, {why}.",))


def _why_scores(numbers: Sequence[float]) -> str | None:
    """Return why numbers are scores and not names of classes; None if they are classes."""
    distinct = set(numbers)
    if not all(number.is_integer() for number in distinct):
        return "they have decimals"
    is_range = min(distinct) in (0, 1) and len(distinct) == max(distinct) - min(distinct) + 1
    return None if is_range or len(distinct) <= _MANY_NUMBERS else "they are many different numbers"


def _ordered(found: set[str], order: Sequence[str], are_whole: bool) -> tuple[str, ...]:
    known = [name for name in order if name in found]
    others = found - set(known)
    return (*known, *(sorted(others, key=int) if are_whole else sorted(others)))


def _nearly_equal(names: Sequence[str]) -> list[str]:
    by_form: dict[str, str] = {}
    for name in names:
        other = by_form.setdefault(name.casefold(), name)
        if other != name:
            return [
                f"The classes {other!r} and {name!r} differ in capital letters alone; write one class alike."
            ]
    return []


def _maybe_several(names: Sequence[str]) -> list[str]:
    for mark in "|;,/":
        for name in names:
            parts = [part.strip() for part in name.split(mark)]
            # A comma or a slash may be part of a name.
            if len(parts) > 1 and (mark in "|;" or any(part in names for part in parts)):
                return [
                    f"The class {name!r} may be several labels; if it is, give --label-separator {mark!r}."
                ]
    return []


def _number(text: str) -> float | None:
    try:
        # Many countries' spreadsheets write 3,5.
        number = float(re.sub(r"(?<=\d),(?=\d+$)", ".", text))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _list_of(text: str, request: DataRequest) -> tuple[str, ...]:
    """Return the labels of a list that was written as text, in JSON or as Python writes it."""
    for read in (json.loads, ast.literal_eval):
        try:
            raw = label_of(read(text))
        except (ValueError, SyntaxError, RecursionError, MemoryError, LabelError):
            continue
        if isinstance(raw, tuple):
            return raw
    raise DataError(
        f'{request.data}: expected a list of labels such as ["a", "b"], got {quoted(text)}; fix that row'
    )
