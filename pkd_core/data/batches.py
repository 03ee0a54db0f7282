"""Batches: one split's tokens as flat arrays in memory, and padded tensors made from any of its rows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pkd_core.errors import DataError

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenTable:
    """One split in memory; R rows in the order of the file.

    Attributes:
        example_ids_R: Ids within the split, int64.
        offsets: Row r's tokens are input_ids[offsets[r]:offsets[r + 1]]; int64, shape (R + 1,).
        input_ids: All rows' token ids on end, int32.
        second_starts_R: Position of each row's second segment; the row's length where there is none.
        labels_R: Class positions (int64) or scores (float32); None for an unlabelled split.
    """

    example_ids_R: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    input_ids: npt.NDArray[np.int32]
    second_starts_R: npt.NDArray[np.int32]
    labels_R: npt.NDArray[np.int64] | npt.NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.example_ids_R)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of tokens of each row."""
        return np.diff(self.offsets)

    @classmethod
    def load(cls, folder: Path, split: str) -> "TokenTable":
        """Read a split's Parquet shards as `write_tokens` left them in `folder`.

        Raises:
            DataError: If there are none.
        """
        shards = sorted(
            path
            for path in folder.glob("*.parquet")
            if re.fullmatch(rf"{re.escape(split)}-\d{{5}}", path.stem)
        )
        if not shards:
            raise DataError(
                f"{folder}: expected tokens of the {split} split, got none; add its TSV file and run again"
            )
        table = pa.concat_tables(pq.read_table(path) for path in shards)
        chunks = table["input_ids"].chunks
        lengths = table["length"].to_numpy()
        labels = table["label"]
        return cls(
            example_ids_R=table["example_id"].to_numpy(),
            offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)]),
            input_ids=np.concatenate([chunk.flatten().to_numpy() for chunk in chunks]),
            second_starts_R=table["second_start"].to_numpy(),
            labels_R=None if labels.null_count else labels.to_numpy(),
        )


@dataclass(frozen=True)
class Batch:
    """A few rows as padded tensors: B examples, L tokens of the longest; all integers are int64.

    Attributes:
        input_ids_BL: Token ids.
        token_type_ids_BL: 1 on the second segment's tokens.
        attention_mask_BL: 1 on tokens, 0 on padding.
        labels_B: Class positions or, for a regression task, scores (float32); None without labels.
        example_ids_B: Ids within the split, by which teacher states are joined.
    """

    input_ids_BL: torch.Tensor
    token_type_ids_BL: torch.Tensor
    attention_mask_BL: torch.Tensor
    labels_B: torch.Tensor | None
    example_ids_B: torch.Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on `device`."""
        return Batch(
            input_ids_BL=self.input_ids_BL.to(device),
            token_type_ids_BL=self.token_type_ids_BL.to(device),
            attention_mask_BL=self.attention_mask_BL.to(device),
            labels_B=None if self.labels_B is None else self.labels_B.to(device),
            example_ids_B=self.example_ids_B.to(device),
        )


def make_batch(table: TokenTable, rows: Rows, pad_id: int = 0) -> Batch:
    """Return these rows of `table`, in the order given, padded with `pad_id` to the longest of them."""
    starts_B1 = table.offsets[rows][:, None]
    lengths_B1 = table.offsets[rows + 1][:, None] - starts_B1
    positions_L = np.arange(lengths_B1.max())
    is_token_BL = positions_L < lengths_B1
    places_BL = np.minimum(starts_B1 + positions_L, len(table.input_ids) - 1)
    input_ids_BL = np.where(is_token_BL, table.input_ids[places_BL], pad_id)
    is_second_BL = is_token_BL & (positions_L >= table.second_starts_R[rows][:, None])
    return Batch(
        input_ids_BL=torch.from_numpy(input_ids_BL.astype(np.int64)),
        token_type_ids_BL=torch.from_numpy(is_second_BL.astype(np.int64)),
        attention_mask_BL=torch.from_numpy(is_token_BL.astype(np.int64)),
        labels_B=None if table.labels_R is None else torch.from_numpy(table.labels_R[rows]),
        example_ids_B=torch.from_numpy(table.example_ids_R[rows]),
    )


def shuffled_batches(table: TokenTable, batch_size: int, generator: torch.Generator) -> Iterator[Rows]:
    """Yield every row once, in an order drawn from `generator`; the last batch may be smaller."""
    order = torch.randperm(len(table), generator=generator).numpy()
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def length_sorted_batches(table: TokenTable, max_tokens: int, rows: Rows | None = None) -> Iterator[Rows]:
    """Yield rows, longest first, in batches of at most `max_tokens` padded tokens or of one row.

    Args:
        table: The split.
        max_tokens: Bound on rows times the longest row's length.
        rows: The rows to yield; all by default.
    """
    lengths_R = table.lengths
    rows = np.arange(len(table)) if rows is None else rows
    order = rows[np.argsort(-lengths_R[rows], kind="stable")]
    start = 0
    while start < len(order):
        size = max(1, max_tokens // int(lengths_R[order[start]]))
        yield order[start : start + size]
        start += size
