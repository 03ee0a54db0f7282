"""Reading JSON Lines, a batch of rows at a time, and JSON of one list of objects, as a whole."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pkd_core.errors import DataError, listed, quoted, reason
from pkd_core.own_data.names import split_of
from pkd_core.own_data.source import BATCH_ROWS, Batch, Source
from pkd_core.own_data.text_encoding import TextEncoding, find_encoding

_SAMPLE_ROWS = 1000
_Row = Mapping[str, Any]


def open_json(path: Path, encoding: str | None) -> Source:
    """Recognise a file that begins with "{" or "[".

    Raises:
        DataError: It is neither JSON Lines nor a list of objects.
    """
    found = find_encoding(path, encoding)
    if _first_line_is_object(path, found):
        return _source(path, "JSON Lines", found, lambda: _lines(path, found))
    rows = _whole(path, found)
    return _source(path, "JSON", found, lambda: iter(rows))


def _source(path: Path, kind: str, encoding: TextEncoding, rows: Any) -> Source:
    sample: Iterable[_Row] = itertools.islice(rows(), _SAMPLE_ROWS)
    columns = tuple(dict.fromkeys(name for row in sample for name in row))
    if not columns:
        raise DataError(f"{path}: expected objects with a text and a label, got none; give another file")

    def batches(chosen: Sequence[str]) -> Iterator[Batch]:
        remaining = rows()
        while batch := list(itertools.islice(remaining, BATCH_ROWS)):
            yield {name: [row.get(name) for row in batch] for name in chosen}

    notes = (encoding.note,) if encoding.note else ()
    return Source(path, (path,), columns, f"{kind} ({encoding.name})", batches, notes=notes)


def _first_line_is_object(path: Path, encoding: TextEncoding) -> bool:
    with path.open(encoding=encoding.codec) as file:
        line = next((line for line in file if line.strip()), "")
        is_last = not any(line.strip() for line in file)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        # A broken first line of many: the next ones tell.
        return line.lstrip().startswith("{") and line.rstrip().endswith("}")
    return isinstance(value, dict) and not (is_last and any(isinstance(one, list) for one in value.values()))


def _lines(path: Path, encoding: TextEncoding) -> Iterator[_Row]:
    with path.open(encoding=encoding.codec, newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{path}:{number}: expected a JSON object on each line, got one that cannot be read "
                    f"({reason(error)}); fix that line"
                ) from None
            if not isinstance(value, dict):
                raise DataError(
                    f"{path}:{number}: expected a JSON object on each line, got {quoted(value)}; write "
                    '{"text": ..., "label": ...}'
                )
            yield _flat(value)


def _whole(path: Path, encoding: TextEncoding) -> list[_Row]:
    """Return the rows of a list of objects, or of an object that holds one such list, or one list a column."""
    try:
        value = json.loads(path.read_text(encoding=encoding.codec))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: expected JSON Lines or a JSON list of objects, got a file that cannot be read "
            f"({reason(error)}); fix it, or save the data as CSV"
        ) from None
    if isinstance(value, dict):
        lists = {name: one for name, one in value.items() if isinstance(one, list)}
        is_of_splits = all(map(split_of, lists))
        if (
            not is_of_splits
            and len(lists) == len(value) > 1
            and len({len(one) for one in lists.values()}) == 1
        ):
            return [dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]
        if len(lists) != 1 or is_of_splits:
            raise DataError(
                f"{path}: expected a list of objects such as "
                f'[{{"text": ..., "label": ...}}], got an object with {listed(list(value))}; save its rows as such a '
                "list, a file for each split"
            )
        (value,) = lists.values()
    for number, row in enumerate(value, start=1):
        if not isinstance(row, dict):
            raise DataError(
                f"{path}: row {number}: expected an object, got {quoted(row)}; write "
                '{"text": ..., "label": ...}'
            )
    return [_flat(row) for row in value]


def _flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return a row without objects in it: {"a": {"b": 1}} becomes {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat
