"""The tokens of one split in memory, and the order of its rows in batches.

Shape suffixes: R rows (examples) of a split, K choices of an example, V = R * K sequences of tokens, C labels.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pkd_core.errors import DataError

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenTable:
    """One split in memory, its rows in the order of the file.

    An example is one sequence of tokens, or a group of K of them: a question with each of its possible answers.

    Attributes:
        example_ids_R: Ids within the split.
        offsets: Sequence v's tokens are input_ids[offsets[v]:offsets[v + 1]]; shape (V + 1,).
        input_ids: Token ids of all sequences, concatenated.
        second_starts_R: Position of each sequence's second segment, shape (V,); its length for a single segment.
        labels_R: Class positions (int64) or scores (float32); of several labels, 0 or 1 for each (float32), shape
            (R, C); None for an unlabelled split.
        num_choices: K; row r's sequences are r * K to r * K + K - 1.
    """

    example_ids_R: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    input_ids: npt.NDArray[np.int32]
    second_starts_R: npt.NDArray[np.int32]
    labels_R: npt.NDArray[np.int64] | npt.NDArray[np.float32] | None
    num_choices: int = 1

    def __len__(self) -> int:
        return len(self.example_ids_R)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of tokens of each sequence, shape (V,)."""
        return np.diff(self.offsets)

    @property
    def padded_lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each row where its sequences are padded to the longest of them."""
        longest: npt.NDArray[np.int64] = self.lengths.reshape(-1, self.num_choices).max(axis=1)
        return self.num_choices * longest

    def sequences_of(self, rows: Rows) -> Rows:
        """Return the sequences of rows, one row after the other."""
        return (rows[:, None] * self.num_choices + np.arange(self.num_choices)).ravel()

    @classmethod
    def load(cls, folder: Path, split: str) -> "TokenTable":
        """Read a split's Parquet shards, written by `write_tokens`.

        Raises:
            DataError: If the folder has none.
        """
        shards = shards_of(folder, split)
        if not shards:
            raise DataError(
                f"{folder}: expected tokens of the {split} split, got none; add its TSV file and run again"
            )
        return cls.from_arrow(read_shards(shards))

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "TokenTable":
        """Return a split of the columns that `tokens_schema` names; an example's sequences follow each other."""
        chunks = table["input_ids"].chunks
        lengths = table["length"].to_numpy()
        labels, example_ids = table["label"], table["example_id"].to_numpy()
        num_choices = int((example_ids == example_ids[0]).sum()) if len(example_ids) else 1
        return cls(
            example_ids_R=example_ids[::num_choices],
            offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)]),
            input_ids=np.concatenate([chunk.flatten().to_numpy() for chunk in chunks]),
            second_starts_R=table["second_start"].to_numpy(),
            labels_R=None if labels.null_count else label_array(labels)[::num_choices],
            num_choices=num_choices,
        )


def shuffled_batches(table: TokenTable, batch_size: int, generator: torch.Generator) -> Iterator[Rows]:
    """Yield every row once, in random order; the last batch may be smaller."""
    order = torch.randperm(len(table), generator=generator).numpy()
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def length_sorted_batches(table: TokenTable, max_tokens: int, rows: Rows | None = None) -> Iterator[Rows]:
    """Yield every row once, longest first, in batches of bounded size.

    Args:
        table: The split.
        max_tokens: Maximum of sequences times the longest one's length; a longer row is a batch of one.
        rows: The rows to yield; all by default.
    """
    lengths_R = table.padded_lengths
    rows = np.arange(len(table)) if rows is None else rows
    order = rows[np.argsort(-lengths_R[rows], kind="stable")]
    start = 0
    while start < len(order):
        size = max(1, max_tokens // int(lengths_R[order[start]]))
        yield order[start : start + size]
        start += size


def shards_of(folder: Path, split: str) -> list[Path]:
    """Return a split's shards in order; other splits' names may have the same prefix (dev, dev-mismatched)."""
    name = re.compile(rf"{re.escape(split)}-\d{{5}}")
    return sorted(path for path in folder.glob("*.parquet") if name.fullmatch(path.stem))


def label_array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column of labels: class positions or scores, shape (R,); lists of equal length as shape (R, C)."""
    if not pa.types.is_list(column.type):
        return np.asarray(column.to_numpy())
    values = [chunk.flatten().to_numpy() for chunk in column.chunks]
    return np.concatenate(values).reshape(len(column), -1)


def append_unlabelled(labelled: TokenTable, unlabelled: TokenTable) -> TokenTable:
    """Return the rows of both, whose example ids differ; a missing class is -1, a missing score or label is nan."""
    assert labelled.labels_R is not None, "the first table has labels"
    is_class = np.issubdtype(labelled.labels_R.dtype, np.integer)
    shape = (len(unlabelled), *labelled.labels_R.shape[1:])
    missing_R = np.full(shape, -1 if is_class else np.nan, dtype=labelled.labels_R.dtype)
    first, second = labelled, unlabelled
    return TokenTable(
        example_ids_R=np.concatenate([first.example_ids_R, second.example_ids_R]),
        offsets=np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]),
        input_ids=np.concatenate([first.input_ids, second.input_ids]),
        second_starts_R=np.concatenate([first.second_starts_R, second.second_starts_R]),
        labels_R=np.concatenate([labelled.labels_R, missing_R]),
    )


def read_shards(paths: Iterable[Path], columns: Sequence[str] | None = None) -> pa.Table:
    """Read columns (by default all) of at least one shard into one table.

    Unlike `pq.read_table`, this starts no threads: at these sizes they save no time, and if the system refuses a
    thread, Arrow waits for it forever.
    """
    return pa.concat_tables(
        pq.ParquetFile(path, pre_buffer=False).read(columns, use_threads=False) for path in paths
    )
