"""The encoding of a text file, by its bytes."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pkd_core.errors import DataError, quoted

_BLOCK = 1 << 20
_HEAD = 4096
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NAMES = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "cp1252": "Windows-1252",
}
_WINDOWS = "cp1252"


@dataclass(frozen=True)
class TextEncoding:
    """An encoding: Python's name of it, the usual one, and a sentence if it was guessed."""

    codec: str
    name: str
    note: str | None = None


def find_encoding(path: Path, given: str | None) -> TextEncoding:
    """Return the encoding in which all of a file can be read.

    Args:
        path: The file.
        given: The encoding that the user names; None to find it by the file's bytes.

    Raises:
        DataError: The given one is unknown, the file cannot be read in it, or is no text.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    codec = _known(given) if given else _by_head(head)
    if codec is not None:
        failure = _first_failure(path, codec)
        if failure is not None:
            how = "" if given else ", as its first bytes say"
            raise DataError(
                f"{path}:{failure.line}: expected {_NAMES.get(codec, codec)}{how}, got other bytes; save the file as "
                "UTF-8, or give another --encoding"
            )
        return TextEncoding(codec, _NAMES.get(codec, codec))
    if b"\0" in head:
        raise DataError(
            f"{path}: expected a text file, Parquet or a folder of datasets, got bytes that are no text; save the data "
            "as CSV"
        )
    failure = _first_failure(path, "utf-8")
    if failure is None:
        return TextEncoding("utf-8", "UTF-8")
    if failure.has_accents:
        raise DataError(
            f"{path}:{failure.line}: expected UTF-8, as the lines before it are, got the byte {quoted(failure.byte)}; "
            "fix that line, or give --encoding"
        )
    if _first_failure(path, _WINDOWS) is not None:
        raise DataError(
            f"{path}:{failure.line}: expected UTF-8, UTF-16 or Windows-1252, got another encoding; save the file as "
            "UTF-8, or give --encoding"
        )
    line = _line(path, failure.line).decode(_WINDOWS).strip()
    note = (
        f"{path.name} is not UTF-8 and was read as Windows-1252 (line {failure.line}: {quoted(line)}); if its letters "
        "look wrong, give --encoding."
    )
    return TextEncoding(_WINDOWS, _NAMES[_WINDOWS], note)


@dataclass(frozen=True)
class _Failure:
    """Where decoding fails: the line, from 1, its byte, and whether letters beyond ASCII were read before."""

    line: int
    byte: bytes
    has_accents: bool


def _known(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise DataError(
            f"there is no encoding {quoted(name)}; give one such as utf-8, utf-16, cp1252 or shift_jis"
        ) from None


def _by_head(head: bytes) -> str | None:
    for bom, codec in _BOMS:
        if head.startswith(bom):
            return codec
    # Of ASCII letters in UTF-16, one byte of two is zero.
    even, odd = head[::2], head[1::2]
    if even and odd.count(0) > 0.4 * len(odd) and not even.count(0):
        return "utf-16-le"
    if odd and even.count(0) > 0.4 * len(even) and not odd.count(0):
        return "utf-16-be"
    return None


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _first_failure(path: Path, codec: str) -> _Failure | None:
    decoder = codecs.getincrementaldecoder(codec)()
    has_accents, num_lines = False, 1
    for block in _blocks_and_end(path):
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            good = error.object[: error.start]
            has_accents = has_accents or (codec == "utf-8" and not good.isascii())
            byte = error.object[error.start : error.start + 1]
            return _Failure(num_lines + good.count(b"\n"), byte, has_accents)
        has_accents = has_accents or not text.isascii()
        num_lines += text.count("\n")
    return None


def _blocks_and_end(path: Path) -> Iterator[bytes]:
    yield from _blocks(path)
    yield b""


def _line(path: Path, number: int) -> bytes:
    with path.open("rb") as file:
        for _ in range(number - 1):
            file.readline(_BLOCK)
        return file.readline(_BLOCK)
