"""Which reader a file is for, by its first bytes: a name's suffix says little."""

import difflib
import re
from collections.abc import Collection
from pathlib import Path

from pkd_core.errors import DataError, listed, reason
from pkd_core.own_data.arrow_rows import open_parquet
from pkd_core.own_data.delimited import open_delimited
from pkd_core.own_data.json_rows import open_json
from pkd_core.own_data.source import Source

_HEAD = 4096
_REFUSED = {
    b"PK\x03\x04": "an Excel workbook or a zip; save the sheet as CSV, or unpack the zip",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save the sheet as CSV",
    b"\x1f\x8b": "a gzip file; unpack it with gunzip",
    b"BZh": "a bzip2 file; unpack it with bunzip2",
    b"\xfd7zXZ": "an xz file; unpack it with unxz",
    b"(\xb5/\xfd": "a zstd file; unpack it with unzstd",
    b"SQLite format 3": "an SQLite database; save the table as CSV",
    b"%PDF": "a PDF; save the texts as CSV",
    b"ARROW1": "an Arrow file; save the table as Parquet",
    b"\xff\xff\xff\xff": "an Arrow stream; give the folder that datasets saved, or save the table as Parquet",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with `git lfs pull`",
    b"<!DOCTYPE": "a web page; download the file itself",
    b"<html": "a web page; download the file itself",
}


def open_source(path: Path, encoding: str | None = None, wanted: Collection[str] = ()) -> Source:
    """Recognise a file by its content.

    Args:
        path: A file of CSV, TSV, JSON Lines, JSON, Parquet, or lines of text.
        encoding: The encoding of a text file; None to find it.
        wanted: Names of columns that the user gives.

    Raises:
        DataError: There is no such file, it is empty, or its format is none of these.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}{_near(path)}") from None
    except OSError as error:
        raise DataError(
            f"{path}: expected a file that can be read, got {reason(error)}; give another"
        ) from None
    if not head.strip():
        raise DataError(f"{path}: expected rows of data, got an empty file; give another one")
    for start, what in _REFUSED.items():
        if head.lower().startswith(start.lower()):
            raise DataError(f"{path}: expected CSV, JSON Lines or Parquet, got {what}")
    if head.startswith(b"PAR1"):
        return open_parquet(path)
    if _is_json(head):
        return open_json(path, encoding)
    return open_delimited(path, encoding, wanted)


def _is_json(head: bytes) -> bool:
    # Of UTF-16 every other byte is zero.
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\xff\xfe\0 \t\r\n").replace(b"\0", b"")
    return text.startswith(b"{") or (
        text.startswith(b"[") and text[1:].lstrip()[:1] in (b"{", b"[", b'"', b"]")
    )


def _near(path: Path) -> str:
    # A path has one slash where an address has two.
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(path)):
        return ", which looks like an address; download it, and give the file"
    folder = path.parent
    names = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if not near:
        return f" (in {folder.resolve()}); check its name"
    return f"; the nearest {'is' if len(near) == 1 else 'are'} {listed(near)}"
