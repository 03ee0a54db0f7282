"""Small files of a user's own data, as different programs write them."""

import csv
import io
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pkd_core.errors import DataError
from pkd_core.own_data.own_data import OwnData, read_own_data
from pkd_core.own_data.request import DataRequest

Rows = Sequence[tuple[Any, ...]]

_WORDS = ("card", "money", "transfer", "how", "lost", "my", "is", "the", "when", "please", "new", "account")


def rows_of(
    count: int, labels: Sequence[Any] = ("buy", "sell", "hold"), seed: int = 0
) -> list[tuple[str, Any]]:
    """Return different texts with labels in turn."""
    rng = random.Random(seed)
    return [
        (f"{' '.join(rng.choices(_WORDS, k=rng.randint(2, 9)))} {row}", labels[row % len(labels)])
        for row in range(count)
    ]


def csv_text(
    rows: Iterable[Sequence[Any]], header: Sequence[str] | None = ("text", "label"), delimiter: str = ","
) -> str:
    """Return rows as csv writes them."""
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(
        [*([header] if header else []), *rows]
    )
    return file.getvalue()


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def write_csv(path: Path, rows: Rows, header: Sequence[str] | None = ("text", "label")) -> Path:
    """Write a CSV file in UTF-8."""
    return write(path, csv_text(rows, header))


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write JSON Lines."""
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def read(data: Path, **values: Any) -> OwnData:
    """Read own data with some fields of the request."""
    return read_own_data(DataRequest(data=data, **values))


def refused(values: dict[str, Any], data: Path, message: str) -> None:
    """Check that data are refused with one sentence of a message."""
    with pytest.raises(DataError, match=message) as caught:
        read(data, **values)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(data.parent), "")) < 400
