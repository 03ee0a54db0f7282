"""Runs a teacher once over the training examples and stores its logits and [CLS] states.

Shape suffixes: B batch, C classes, D hidden size, N layers, R rows of the table.
"""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import Rows, TokenTable, length_sorted_batches
from pkd_core.model.forward import Outputs, forward
from pkd_core.model.packing import pack
from pkd_core.runtime.observer import Observer
from pkd_core.runtime.prefetch import prefetch, write_behind
from pkd_core.store.finished_files import FinishedFiles
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
    finished: FinishedFiles | None = None,
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

    Returns:
        Facts: "rows", "num_layers", "hidden_size", "num_outputs", "dtype" and "bytes".

    Raises:
        StoreError: If the disk has too little space, or a value is not finite in `dtype`.
    """
    config = model.config
    num_outputs = model.classifier.out_features * table.num_choices
    shape = StatesShape(config.num_hidden_layers, config.hidden_size * table.num_choices, num_outputs, dtype)
    work.mkdir(parents=True, exist_ok=True)
    torch.nn.Module.to(model, device)
    with StatesWriter(work, shape, len(table), shard_rows, finished) as writer:
        _check_disk_space(work, shape, len(table) - writer.rows_done)

        def write(window: tuple[Rows, Outputs]) -> None:
            rows, outputs = window
            writer.write(table.example_ids_R[rows], outputs.logits_BC.numpy(), outputs.cls_states_BND.numpy())

        windows = _windows(model, table, writer.rows_done, max_tokens, getattr(torch, dtype), device)
        for rows, _ in write_behind(write, windows):
            observer.progress(int(rows[-1]) + 1, len(table), "examples")
    return {
        "rows": len(table),
        "num_layers": shape.num_layers,
        "hidden_size": shape.hidden_size,
        "num_outputs": shape.num_outputs,
        "dtype": dtype,
        "bytes": sum(path.stat().st_size for path in work.glob("states-*.arrow")),
    }


@torch.inference_mode()
def _windows(
    model: BertForSequenceClassification,
    table: TokenTable,
    first_row: int,
    max_tokens: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Iterator[tuple[Rows, Outputs]]:
    """Yield windows of rows from `first_row` on, with their outputs on the CPU, the states in `dtype`."""
    starts = range(first_row, len(table), ROWS_PER_RECORD_BATCH)
    windows = [np.arange(start, min(start + ROWS_PER_RECORD_BATCH, len(table))) for start in starts]
    orders = [list(length_sorted_batches(table, max_tokens, rows)) for rows in windows]
    batches = prefetch(pack(table, rows, device) for order in orders for rows in order)
    for rows, order in zip(windows, orders, strict=True):
        outputs = [forward(model, batch) for batch in itertools.islice(batches, len(order))]
        unsort = torch.from_numpy(np.argsort(np.concatenate(order)))
        logits_BC = torch.cat([output.logits_BC for output in outputs]).cpu()
        cls_states_BND = torch.cat([output.cls_states_BND.to(dtype) for output in outputs]).cpu()
        yield rows, Outputs(logits_BC.index_select(0, unsort), cls_states_BND.index_select(0, unsort))


def _check_disk_space(work: Path, shape: StatesShape, num_rows: int) -> None:
    needed = forecast_bytes(shape, num_rows)
    logger.info("teacher states of %d examples will take %.2f GB in %s", num_rows, needed / 1e9, work)
    check_disk_space(work, needed, "teacher states", "free some, or set states.dtype=float16")
