"""The texts of a user's file of any format, to be predicted: read a batch at a time, beside all other columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pkd_core.data.texts import Row, Texts, texts_of_rows
from pkd_core.errors import DataError, listed, quoted
from pkd_core.own_data.names import PAIRS, TEXTS, simple_name
from pkd_core.own_data.recognise import open_source
from pkd_core.own_data.source import Source


@dataclass(frozen=True)
class FileOfTexts:
    """A file whose texts are to be predicted.

    Attributes:
        path: CSV, TSV, JSON Lines, JSON, Parquet, or lines of text, as its content says.
        columns: Its one or two columns of texts as the user names them; empty for those of the model.
        encoding: Of a text file; None to find it.
    """

    path: Path
    columns: tuple[str, ...] = ()
    encoding: str | None = None

    def read(self, of_model: tuple[str, ...] | None) -> tuple[Texts, tuple[str, ...]]:
        """Return its texts with all other columns, and what a reader should know, as sentences.

        Args:
            of_model: Names of the model's own columns; None if they are not known: usual names are then looked for.

        Raises:
            DataError: The file cannot be read, does not hold the columns, or has no row; a text is empty or null, or a
                later row is malformed, when it is reached.
        """
        source = open_source(self.path, self.encoding, self.columns or of_model or ())
        texts, guessed = _columns(source, self.columns or of_model)
        if of_model is not None and len(texts) != len(of_model):
            raise DataError(
                f"the model reads {len(of_model)} text{'s' if len(of_model) > 1 else ''} ({listed(of_model)}), got "
                f"{len(texts)} columns ({listed(texts)}); name as many with --texts"
            )
        return texts_of_rows(str(self.path), source.columns, _rows(source), texts), (*source.notes, *guessed)


def _columns(source: Source, wanted: Sequence[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns of texts, and how they were guessed, as a sentence."""
    if len(source.columns) == 1 and len(wanted or "1") == 1:
        return source.columns, ()
    if wanted is None:
        by_name = {simple_name(name): name for name in reversed(source.columns)}
        named = [names for names in (*PAIRS, *((name,) for name in TEXTS)) if set(names) <= set(by_name)]
        if named:
            found = tuple(by_name[name] for name in named[0])
            note = f"Texts: {' and '.join(map(quoted, found))} (guessed by name; --texts names others)."
            return found, (note,)
    elif set(wanted) <= set(source.columns):
        return tuple(wanted), ()
    expected = f"the column {' and '.join(map(quoted, wanted))}" if wanted else "a column of texts"
    raise DataError(
        f"{source.path}: expected {expected}, got {listed(source.columns)}; name the columns of texts with --texts"
    )


def _rows(source: Source) -> Iterator[tuple[str, Row]]:
    number = 0
    for batch in source.batches(source.columns):
        for row in zip(*(batch[name] for name in source.columns), strict=True):
            number += 1
            yield f"{source.path}: row {number}", row
