"""What every reader of a format returns: the columns of a file, and their values in batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Column -> its values; all of one length. A missing value is None or an empty text.
Batch = Mapping[str, Sequence[object]]
ReadBatches = Callable[[Sequence[str]], Iterator[Batch]]

BATCH_ROWS = 1024


@dataclass(frozen=True)
class Source:
    """One table of a user's files, which is read anew by each call of `batches`.

    Attributes:
        path: The file or folder, for messages.
        files: The files on disk.
        columns: Names of all columns.
        description: What was recognised, such as "CSV (semicolons, Windows-1252)".
        batches: Yields the values of some columns, at most BATCH_ROWS rows at a time.
        class_names: Names of the numbers in a column, by column, where the file has them.
        notes: What else a reader should know, as sentences.
    """

    path: Path
    files: tuple[Path, ...]
    columns: tuple[str, ...]
    description: str
    batches: ReadBatches
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def first_rows(self) -> Batch:
        """Return the values of all columns in the first BATCH_ROWS rows."""
        return next(self.batches(self.columns), dict.fromkeys(self.columns, ()))
