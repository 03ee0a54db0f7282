"""Tokenising: TSV or Parquet files to Parquet shards of token ids, with one shard in memory at a time."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tokenizers import Encoding, Tokenizer

from pkd_core.data.examples import read_split, sequences_of
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.parquet_split import count_rows
from pkd_core.data.task import Split, Task, is_parquet
from pkd_core.data.token_table import TokenTable, read_shards
from pkd_core.data.tokenizer import load_tokenizer
from pkd_core.data.truncation import TruncatedPair, Truncation, truncate_first, truncate_pair
from pkd_core.data.tsv import BadLine, Example, Label
from pkd_core.errors import DataError
from pkd_core.runtime.observer import Observer
from pkd_core.store.atomic import atomic_file

# Encodes a batch of texts, or of pairs of texts.
Encode = Callable[[list[Any]], Sequence[Encoding | TruncatedPair]]

_ENCODE_ROWS = 1024
_ROW_GROUP_ROWS = 8 * _ENCODE_ROWS


def tokens_schema(task: Task) -> pa.Schema:
    """Return the columns of a token shard.

    `second_start` is the position of the second segment's first token, or `length` for a single segment; `label`
    is null in unlabelled splits, and a list of 0 and 1 where an example may have several labels.
    """
    return pa.schema(
        [
            ("example_id", pa.int64()),
            ("input_ids", pa.list_(pa.int32())),
            ("second_start", pa.int32()),
            ("length", pa.int32()),
            ("label", _label_type(task)),
        ]
    )


def _label_type(task: Task) -> pa.DataType:
    if task.multi_label:
        # Of no fixed size: Arrow writes missing lists of a fixed size to Parquet, and cannot read them.
        return pa.list_(pa.float32())
    return pa.float32() if task.is_regression else pa.int64()


def write_tokens(
    work: Path,
    data_raw: Path,
    task: Task,
    tokenizer_folder: Path,
    max_length: int,
    observer: Observer,
    shard_rows: int = 65536,
    truncation: Truncation = "second-text-longer",
) -> dict[str, Any]:
    """Write every split that has a file to `work/<split>-00000.parquet` and so on.

    Args:
        work: Folder for the shards; those of an interrupted call are written again.
        data_raw: Folder of the tasks' files.
        task: The task whose splits are read.
        tokenizer_folder: Folder of a pretrained model with a fast tokenizer.
        max_length: Maximum tokens of an example, with [CLS] and [SEP]; the longer text of a pair is cut first.
        observer: Receives the number of examples tokenised.
        shard_rows: Examples per shard.
        truncation: Which text of a pair keeps one token more where both are cut to half of an odd number.

    Returns:
        "rows" by split, "mean_length" of the train split in tokens, and "skipped_lines" by split.

    Raises:
        DataError: If a required file is missing or a line is malformed.
        ModelError: If the folder has no usable tokenizer.
    """
    splits = _present_splits(data_raw, task)
    encode = _encoder_of(task, tokenizer_folder, max_length, truncation)
    num_lines = sum(_count_examples(data_raw / split.file, task, split) for split in splits)
    num_done = 0
    observer.progress(num_done, num_lines, "examples")
    shards: dict[str, list[Path]] = {}
    skipped: dict[str, list[str]] = {}
    for split in splits:
        bad_lines: list[BadLine] = []
        paths = shards[split.name] = []
        examples = read_split(data_raw / split.file, task, split, bad_lines)
        while shard := list(itertools.islice(examples, shard_rows)):
            path = work / f"{split.name}-{len(paths):05d}.parquet"
            paths.append(path)
            for num_rows in _write_shard(path, shard, encode, task):
                num_done += num_rows
                observer.progress(num_done, num_lines, "examples")
        if bad_lines:
            skipped[split.name] = [f"line {line.number}: {line.reason}" for line in bad_lines]
    sequences = {
        name: sum(pq.read_metadata(path).num_rows for path in paths) for name, paths in shards.items()
    }
    rows = {name: count // task.num_choices for name, count in sequences.items()}
    num_tokens = pc.sum(read_shards(shards["train"], ["length"])["length"]).as_py()
    return {"rows": rows, "mean_length": round(num_tokens / sequences["train"], 1), "skipped_lines": skipped}


def tokenize_split(
    data_raw: Path, task: Task, split: Split, tokenizer_folder: Path, max_length: int, truncation: Truncation
) -> TokenTable:
    """Return the tokens of one split's file.

    Raises:
        DataError: A line is malformed, or there is none.
        ModelError: If the folder has no usable tokenizer.
    """
    encode = _encoder_of(task, tokenizer_folder, max_length, truncation)
    examples = read_split(data_raw / split.file, task, split, [])
    batches = []
    while batch := list(itertools.islice(examples, _ENCODE_ROWS)):
        batches.append(_to_record(batch, encode, task))
    return TokenTable.from_arrow(pa.Table.from_batches(batches, tokens_schema(task)))


def _encoder_of(task: Task, folder: Path, max_length: int, truncation: Truncation) -> Encode:
    if task.num_choices == 1:
        return _encoder(folder, len(task.train_split.texts) == 2, max_length, truncation)
    backend: Tokenizer = load_tokenizer(folder).backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    return lambda texts: [truncate_first(one, max_length) for one in backend.encode_batch_fast(texts)]


def _present_splits(data_raw: Path, task: Task) -> list[Split]:
    present = [split for split in task.splits if (data_raw / split.file).exists()]
    for split in task.splits:
        if split.required and split not in present:
            remedy = f"run `pkd fetch {task.name}` or put" if task.name in GLUE_TASKS else "put"
            raise DataError(
                f"{data_raw / split.file}: expected the {split.name} split of {task.name}, got no such file;"
                f" {remedy} the file there"
            )
    return present


def _encoder(
    folder: Path, is_pair: bool, max_length: int, truncation: Truncation = "second-text-longer"
) -> Encode:
    """Return a function that encodes a batch of texts or of pairs, truncated."""
    tokenizer = load_tokenizer(folder)
    backend: Tokenizer = tokenizer.backend_tokenizer
    backend.no_padding()
    if is_pair and truncation == "first-text-longer":
        backend.no_truncation()
        return lambda texts: [truncate_pair(one, max_length) for one in backend.encode_batch_fast(texts)]
    backend.enable_truncation(max_length, strategy="longest_first", direction=tokenizer.truncation_side)
    encode: Encode = backend.encode_batch_fast
    return encode


def _count_examples(path: Path, task: Task, split: Split) -> int:
    if task.num_choices > 1:
        return sum(1 for _ in read_split(path, task, split))
    if is_parquet(split.file):
        return count_rows(path)
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) - split.header


def _write_shard(path: Path, examples: Sequence[Example], encode: Encode, task: Task) -> Iterator[int]:
    """Write a shard atomically; yield the number of examples of each row group."""
    with (
        atomic_file(path) as file,
        pq.ParquetWriter(file, tokens_schema(task), compression="zstd", use_dictionary=False) as writer,
    ):
        for group in _slices(examples, _ROW_GROUP_ROWS):
            batches = [_to_record(batch, encode, task) for batch in _slices(group, _ENCODE_ROWS)]
            writer.write_table(pa.Table.from_batches(batches))
            yield len(group)


def _slices(examples: Sequence[Example], size: int) -> Iterator[Sequence[Example]]:
    return (examples[start : start + size] for start in range(0, len(examples), size))


def text_encoder(
    tokenizer_folder: Path, max_length: int
) -> Callable[[Sequence[tuple[str, ...]]], TokenTable]:
    """Return a function that tokenises examples in memory, as `write_tokens` does; their ids number them from 0.

    It takes one or two texts of each example, of all the same number.

    Args:
        tokenizer_folder: Folder of a model with a fast tokenizer.
        max_length: Maximum tokens of an example, with [CLS] and [SEP]; the longer text of a pair is cut first.

    Raises:
        ModelError: If the folder has no usable tokenizer.
    """
    encoder = _encoder(tokenizer_folder, is_pair=True, max_length=max_length)

    def encode(texts: Sequence[tuple[str, ...]]) -> TokenTable:
        tokens = _tokens(texts, encoder)
        return TokenTable(np.arange(len(texts)), tokens.offsets, tokens.input_ids, tokens.second_starts, None)

    return encode


class _Tokens(NamedTuple):
    """Tokens of several examples, concatenated; see TokenTable."""

    lengths: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    input_ids: npt.NDArray[np.int32]
    second_starts: npt.NDArray[np.int32]


def _tokens(texts: Sequence[tuple[str, ...]], encode: Encode) -> _Tokens:
    encodings = encode([pair if len(pair) == 2 else pair[0] for pair in texts])
    lengths = np.array([len(encoding) for encoding in encodings], dtype=np.int32)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    input_ids = _flat([encoding.ids for encoding in encodings], offsets[-1])
    second_starts = lengths
    if len(texts[0]) == 2:
        type_ids = _flat([encoding.type_ids for encoding in encodings], offsets[-1])
        second_starts = lengths - np.add.reduceat(type_ids, offsets[:-1])
    return _Tokens(lengths, offsets, input_ids, second_starts)


def _to_record(examples: Sequence[Example], encode: Encode, task: Task) -> pa.RecordBatch:
    """Encode examples; one of several sequences takes as many consecutive rows, which repeat its id and label."""
    schema, num_choices = tokens_schema(task), task.num_choices
    tokens = _tokens([texts for one in examples for texts in sequences_of(one, num_choices)], encode)
    examples = [one for one in examples for _ in range(num_choices)]
    columns = {
        "example_id": pa.array([example.example_id for example in examples], pa.int64()),
        "input_ids": pa.ListArray.from_arrays(
            pa.array(tokens.offsets, pa.int32()), pa.array(tokens.input_ids)
        ),
        "second_start": pa.array(tokens.second_starts, pa.int32()),
        "length": pa.array(tokens.lengths),
        "label": pa.array(
            [_label_value(example.label, len(task.labels)) for example in examples],
            schema.field("label").type,
        ),
    }
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


def _label_value(label: Label, num_labels: int) -> float | npt.NDArray[np.float32] | None:
    """Return a label as the tokens have it: several labels of an example are 0 or 1 for each of the task's."""
    if not isinstance(label, tuple):
        return label
    values_C = np.zeros(num_labels, dtype=np.float32)
    values_C[list(label)] = 1.0
    return values_C


def _flat(lists: Sequence[list[int]], count: int) -> npt.NDArray[np.int32]:
    return np.fromiter(itertools.chain.from_iterable(lists), dtype=np.int32, count=count)
