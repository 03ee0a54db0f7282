"""Runs a teacher once over the training examples and stores its logits and [CLS] states.

Shape suffixes: B batch, C classes, D hidden size, N layers, R rows of the table.
"""

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import Rows, TokenTable, length_sorted_batches
from pkd_core.model.forward import Outputs, forward
from pkd_core.model.packing import pack
from pkd_core.runtime.group import ONE_PROCESS, Group
from pkd_core.runtime.observer import Observer
from pkd_core.runtime.prefetch import prefetch, write_behind
from pkd_core.store.finished_files import FinishedRecord
from pkd_core.store.os_errors import check_disk_space
from pkd_core.teacher_states.format import ROWS_PER_RECORD_BATCH, ROWS_PER_SHARD, StatesShape, forecast_bytes
from pkd_core.teacher_states.writer import StatesWriter

logger = logging.getLogger(__name__)


def extract(
    model: BertForSequenceClassification,
    table: TokenTable,
    work: Path,
    dtype: str,
    observer: Observer,
    *,
    device: torch.device,
    max_tokens: int = 8192,
    shard_rows: int = ROWS_PER_SHARD,
    finished: FinishedRecord | None = None,
    group: Group = ONE_PROCESS,
) -> dict[str, Any]:
    """Write a teacher's logits and [CLS] states of all layers, computed in float32 without dropout.

    Rows are written in the table's order in windows of 1,024. Within a window the model runs over examples sorted by
    length, so that attention pads little. Shards that an interrupted call finished are kept.

    Args:
        model: The fine-tuned teacher.
        table: The examples, R rows.
        work: Folder for the shards, created if missing.
        dtype: "float16" or "float32", of the states; logits are float32.
        observer: Receives the progress in examples.
        device: Where to compute.
        max_tokens: Maximum tokens of a batch.
        shard_rows: Examples per shard.
        finished: Records the finished shards; without it, everything is extracted again.
        group: The processes that extract together; each writes shards of its own.

    Returns:
        Facts: "rows", "num_layers", "hidden_size", "num_outputs", "dtype" and "bytes".

    Raises:
        StoreError: If the disk has too little space, or a value is not finite in `dtype`.
    """
    config = model.config
    num_outputs = model.classifier.out_features * table.num_choices
    shape = StatesShape(config.num_hidden_layers, config.hidden_size * table.num_choices, num_outputs, dtype)
    torch.nn.Module.to(model, device)

    def run(windows: Sequence[range]) -> Iterator[Outputs]:
        return _run(model, table, windows, max_tokens, getattr(torch, dtype), device)

    return write_states(run, table.example_ids_R, shape, work, observer, shard_rows, finished, group)


def write_states(
    run: Callable[[Sequence[range]], Iterator[Outputs]],
    example_ids_R: Rows,
    shape: StatesShape,
    work: Path,
    observer: Observer,
    shard_rows: int = ROWS_PER_SHARD,
    finished: FinishedRecord | None = None,
    group: Group = ONE_PROCESS,
) -> dict[str, Any]:
    """Write what a teacher yields, window by window; see `extract`.

    Args:
        run: Yields the outputs of each of the windows of rows that it is given, on the CPU.
        example_ids_R: Ids of the examples, R rows.
        shape: Contents of a row.
        work: Folder for the shards, created if missing.
        observer: Receives the progress in examples.
        shard_rows: Examples per shard.
        finished: Records the finished shards; without it, everything is extracted again.
        group: The processes that extract together; each writes shards of its own.
    """
    num_rows = len(example_ids_R)
    work.mkdir(parents=True, exist_ok=True)
    with StatesWriter(work, shape, num_rows, shard_rows, finished, (group.rank, group.size)) as writer:
        _check_disk_space(work, shape, sum(map(len, writer.todo)))
        windows = [
            range(start, min(start + ROWS_PER_RECORD_BATCH, rows.stop))
            for rows in writer.todo
            for start in range(rows.start, rows.stop, ROWS_PER_RECORD_BATCH)
        ]
        num_done = writer.rows_done
        observer.progress(num_done, num_rows, "examples")

        def write(written: tuple[range, Outputs]) -> None:
            window, outputs = written
            ids = example_ids_R[window.start : window.stop]
            writer.write(ids, outputs.logits_BC.numpy(), outputs.cls_states_BND.numpy())

        for window, _ in write_behind(write, zip(windows, run(windows), strict=True)):
            num_done += len(window)
            observer.progress(num_done, num_rows, "examples")
    # Only then are all shards there.
    group.add_up_array(np.zeros(1))
    return {
        "rows": num_rows,
        "num_layers": shape.num_layers,
        "hidden_size": shape.hidden_size,
        "num_outputs": shape.num_outputs,
        "dtype": shape.dtype,
        "bytes": sum(path.stat().st_size for path in work.glob("states-*.arrow")),
    }


@torch.inference_mode()
def _run(
    model: BertForSequenceClassification,
    table: TokenTable,
    windows: Sequence[range],
    max_tokens: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Iterator[Outputs]:
    """Yield the outputs of windows of rows, on the CPU, the states in `dtype`."""
    orders = [list(length_sorted_batches(table, max_tokens, np.array(rows))) for rows in windows]
    batches = prefetch(pack(table, rows, device) for order in orders for rows in order)
    for order in orders:
        outputs = [forward(model, batch) for batch in itertools.islice(batches, len(order))]
        unsort = torch.from_numpy(np.argsort(np.concatenate(order)))
        logits_BC = torch.cat([output.logits_BC for output in outputs]).cpu()
        cls_states_BND = torch.cat([output.cls_states_BND.to(dtype) for output in outputs]).cpu()
        yield Outputs(logits_BC.index_select(0, unsort), cls_states_BND.index_select(0, unsort))


def _check_disk_space(work: Path, shape: StatesShape, num_rows: int) -> None:
    needed = forecast_bytes(shape, num_rows)
    logger.info("teacher states of %d examples will take %.2f GB in %s", num_rows, needed / 1e9, work)
    check_disk_space(work, needed, "teacher states", "free some, or set states.dtype=float16")
