"""Tiny random BERTs and token tables in memory, for tests of models and of training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from pkd_core.data.task import Split, Task
from pkd_core.data.token_table import TokenTable
from pkd_core.model.packing import PackedBatch

SPLITS = (Split("train", "Tiny/train.tsv", ("sentence",), "label"),)
TASK = Task("Tiny", SPLITS, ("no", "yes"), ("accuracy",))
SCORE_TASK = Task("TinyScore", SPLITS, (), ("pearson", "spearman"), label_range=(0.0, 5.0))


class Recorder:
    """An observer that keeps every call."""

    def __init__(self) -> None:
        self.metrics_seen: list[tuple[int, dict[str, float]]] = []
        self.progress_seen: list[tuple[int, int, str]] = []
        self.num_flushed = 0

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.metrics_seen.append((step, dict(values)))

    def progress(self, done: int, total: int, unit: str) -> None:
        self.progress_seen.append((done, total, unit))

    def flush(self) -> None:
        self.num_flushed += 1

    def series(self, name: str) -> dict[int, float]:
        return {step: values[name] for step, values in self.metrics_seen if name in values}


class ScriptedMasks:
    """Dropout masks that are kept, with each call's rate and shape, and given again after `replay`."""

    def __init__(self) -> None:
        self.masks: list[Tensor] = []
        self.calls: list[tuple[float, tuple[int, ...]]] = []
        self._next = 0

    def replay(self) -> "ScriptedMasks":
        self._next = 0
        return self

    def draw(self, shape: Sequence[int], rate: float, dtype: torch.dtype) -> Tensor:
        self.calls.append((rate, tuple(shape)))
        if self._next == len(self.masks):
            self.masks.append((torch.rand(*shape) >= rate).to(dtype))
        self._next += 1
        return self.masks[self._next - 1]


def tiny_config(num_layers: int = 4, dropout: float = 0.1, **changes: Any) -> BertConfig:
    """Return the configuration of every tiny BERT, with changes by the names of BertConfig."""
    values = {
        "vocab_size": 100,
        "hidden_size": 32,
        "num_hidden_layers": num_layers,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "initializer_range": 0.1,
    }
    return BertConfig(**values | changes)


def tiny_classifier(
    num_layers: int = 4, seed: int = 0, dropout: float = 0.1, num_outputs: int = 2
) -> BertForSequenceClassification:
    torch.manual_seed(seed)
    return BertForSequenceClassification(tiny_config(num_layers, dropout, num_labels=num_outputs)).eval()


def make_table(num_rows: int, seed: int = 0, score: bool = False, first_id: int = 0) -> TokenTable:
    """Return random rows with two segments; a row's third token is 10 + its class or score, so labels are learnable."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(5, 20, num_rows)
    labels = generator.integers(0, 6 if score else 2, num_rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    input_ids = generator.integers(20, 100, offsets[-1]).astype(np.int32)
    input_ids[offsets[:-1]] = 2
    input_ids[offsets[:-1] + 2] = 10 + labels
    return TokenTable(
        example_ids_R=np.arange(first_id, first_id + num_rows, dtype=np.int64),
        offsets=offsets,
        input_ids=input_ids,
        second_starts_R=generator.integers(3, lengths + 1).astype(np.int32),
        labels_R=labels.astype(np.float32 if score else np.int64),
    )


def table_of(lengths: list[int], labelled: bool = True) -> TokenTable:
    """Return rows of the given lengths, in which no two tokens are equal; example ids count from 100."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    seconds = [1 + length // 3 for length in lengths]
    return TokenTable(
        example_ids_R=np.arange(len(lengths), dtype=np.int64) + 100,
        offsets=offsets,
        input_ids=np.arange(1, offsets[-1] + 1, dtype=np.int32),
        second_starts_R=np.minimum(seconds, lengths).astype(np.int32),
        labels_R=np.array(lengths, dtype=np.float32) / 2 if labelled else None,
    )


def padded(table: TokenTable, rows: Sequence[int]) -> dict[str, torch.Tensor]:
    """Return rows as arguments of a transformers model, padded to the longest; independent of `pad_examples`."""
    lengths = [int(table.lengths[row]) for row in rows]
    inputs = {
        name: torch.zeros(len(rows), max(lengths), dtype=torch.long)
        for name in ("input_ids", "token_type_ids", "attention_mask")
    }
    for position, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        start = int(table.offsets[row])
        inputs["input_ids"][position, :length] = torch.from_numpy(table.input_ids[start : start + length])
        inputs["token_type_ids"][position, int(table.second_starts_R[row]) : length] = 1
        inputs["attention_mask"][position, :length] = 1
    return inputs


def by_example(batch: PackedBatch) -> torch.Tensor:
    """Return the indices that sort a packed batch's examples by their ids."""
    return batch.example_ids_B.argsort()
