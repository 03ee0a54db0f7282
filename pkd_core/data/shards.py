"""Finds and reads the Parquet shards of a split's tokens."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def shards_of(folder: Path, split: str) -> list[Path]:
    """Return a split's shards in `folder` in their order; other splits' names may begin with the same word."""
    name = re.compile(rf"{re.escape(split)}-\d{{5}}")
    return sorted(path for path in folder.glob("*.parquet") if name.fullmatch(path.stem))


def read_shards(paths: Iterable[Path], columns: Sequence[str] | None = None) -> pa.Table:
    """Read columns, all by default, of at least one shard into one table.

    In this thread alone, unlike `pq.read_table`: Arrow's threads win nothing at such sizes, and where the system gives
    Arrow no thread any more, it waits for one for ever.
    """
    return pa.concat_tables(
        pq.ParquetFile(path, pre_buffer=False).read(columns, use_threads=False) for path in paths
    )
