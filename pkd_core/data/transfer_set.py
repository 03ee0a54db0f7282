"""The transfer set: unlabelled texts and varied copies of the training examples, as tokens that a teacher can label."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pkd_core.data.augmentation import Example, Pieces, Variation, key_of, put_together, take_apart, vary
from pkd_core.data.likely_words import PredictWords, predict_likely_words
from pkd_core.data.task import Task
from pkd_core.data.token_table import TokenTable
from pkd_core.data.tokenize import tokens_schema
from pkd_core.errors import DataError
from pkd_core.runtime.observer import Observer
from pkd_core.store.atomic import atomic_file

SPLIT = "transfer"
# Above every line number, so that both sets can be joined with their teacher states by example id.
FIRST_ID = 1 << 40

_ROWS_PER_SHARD = 65536
_ROWS_PER_REPORT = 64


def write_transfer_set(
    work: Path,
    task: Task,
    train: TokenTable,
    dev: Sequence[TokenTable],
    unlabelled: TokenTable | None,
    variation: Variation,
    pieces: Pieces,
    max_length: int,
    observer: Observer,
    predict: PredictWords | None = None,
) -> tuple[int, int]:
    """Write `work/transfer-00000.parquet` and so on: each text once, and none of train or dev.

    Args:
        work: Folder for the shards.
        task: The task.
        train: The labelled examples, which are varied.
        dev: Splits that are scored, and must not be learnt from.
        unlabelled: Further texts; None if there are none.
        variation: How many copies of each training example, and how they differ.
        pieces: The vocabulary with which the tables were made.
        max_length: The most tokens of an example.
        observer: Receives the number of examples made.
        predict: Finds the likely words for copies; None to replace none.

    Returns:
        The number of unlabelled texts, and that of varied copies.

    Raises:
        DataError: Nothing is left to write.
    """
    seen = {key for table in (train, *dev) for key in _keys(table, pieces)}
    num_unlabelled = 0 if unlabelled is None else len(unlabelled)
    total = num_unlabelled + variation.num_copies * len(train)
    observer.progress(0, total, "examples")
    texts = iter(()) if unlabelled is None else _unseen(unlabelled, pieces, seen)
    likely_words = predict_likely_words(train, pieces, predict) if predict else itertools.repeat({})
    copies = vary(train, variation, pieces, max_length, seen, likely_words)
    first_id, counts, numbers = FIRST_ID, [], itertools.count()
    for examples in (texts, copies):
        num_before = first_id
        reported = _reported(examples, first_id - FIRST_ID, total, observer)
        while shard := list(itertools.islice(reported, _ROWS_PER_SHARD)):
            path = work / f"{SPLIT}-{next(numbers):05d}.parquet"
            _write_shard(path, shard, first_id, pieces, tokens_schema(task))
            first_id += len(shard)
        observer.progress(first_id - FIRST_ID, total, "examples")
        counts.append(first_id - num_before)
    if not any(counts):
        raise DataError(
            f"the transfer set of {task.name} is empty, as every text is in train or dev too; add other texts to "
            f"{task.unlabelled_split.file}, or set transfer.num_copies."
        )
    return counts[0], counts[1]


def _reported(
    examples: Iterator[Example], num_before: int, total: int, observer: Observer
) -> Iterator[Example]:
    for number, example in enumerate(examples, start=num_before):
        if number % _ROWS_PER_REPORT == 0:
            observer.progress(number, total, "examples")
        yield example


def _keys(table: TokenTable, pieces: Pieces) -> Iterator[int]:
    return (key_of(take_apart(table, row, pieces)) for row in range(len(table)))


def _unseen(table: TokenTable, pieces: Pieces, seen: set[int]) -> Iterator[Example]:
    for row in range(len(table)):
        example = take_apart(table, row, pieces)
        if key_of(example) not in seen:
            seen.add(key_of(example))
            yield example


def _write_shard(
    path: Path, examples: list[Example], first_id: int, pieces: Pieces, schema: pa.Schema
) -> None:
    rows = [put_together(example, pieces) for example in examples]
    lengths = np.array([len(ids) for ids, _ in rows], dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = np.fromiter(itertools.chain.from_iterable(ids for ids, _ in rows), np.int32, count=offsets[-1])
    columns = {
        "example_id": pa.array(np.arange(first_id, first_id + len(rows)), pa.int64()),
        "input_ids": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(flat)),
        "second_start": pa.array([second_start for _, second_start in rows], pa.int32()),
        "length": pa.array(lengths),
        "label": pa.nulls(len(rows), schema.field("label").type),
    }
    with (
        atomic_file(path) as file,
        pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer,
    ):
        writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))
