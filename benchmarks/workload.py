"""Workload of the benchmarks: random BERTs of real sizes, and random tokens in the lengths of real GLUE tasks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from pkd_core.data.token_table import TokenTable

# The 5 % quantiles of the train split's lengths in tokens (uncased WordPiece, truncated to 128), and the number of
# distinct tokens in train and dev. Counted on GLUE's files.
LENGTHS: Mapping[str, tuple[int, ...]] = {
    "SST-2": (3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 11, 13, 14, 16, 18, 20, 23, 27, 33, 66),
    "MRPC": (19, 32, 36, 39, 41, 44, 45, 47, 50, 51, 53, 55, 57, 59, 61, 62, 64, 67, 70, 74, 103),
    "RTE": (13, 29, 33, 37, 40, 43, 45, 47, 50, 53, 56, 59, 62, 67, 72, 85, 103, 120, 128, 128, 128),
}
DISTINCT_TOKENS: Mapping[str, int] = {"SST-2": 12007, "MRPC": 12063, "RTE": 14068}
_VOCABULARY = 30522


@dataclass(frozen=True)
class Size:
    """A BERT's hidden size, number of heads, and number of the teacher's layers."""

    hidden_size: int
    num_heads: int
    num_layers: int


MINILM = Size(384, 12, 6)
BERT_BASE = Size(768, 12, 12)


def make_model(size: Size, num_layers: int) -> BertForSequenceClassification:
    """Return a random BERT with two classes."""
    config = BertConfig(
        vocab_size=_VOCABULARY,
        hidden_size=size.hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=size.num_heads,
        intermediate_size=4 * size.hidden_size,
    )
    config.num_labels = 2
    torch.manual_seed(0)
    model = BertForSequenceClassification(config)
    model.set_attn_implementation("sdpa")
    return model


def make_table(task: str, num_rows: int, seed: int = 0) -> TokenTable:
    """Return random rows with the lengths and the number of distinct tokens of a task."""
    generator = np.random.default_rng(seed)
    quantiles = LENGTHS[task]
    lengths = np.interp(generator.random(num_rows), np.linspace(0, 1, len(quantiles)), quantiles)
    lengths_R = lengths.round().astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths_R)])
    input_ids = generator.integers(1000, 1000 + DISTINCT_TOKENS[task], offsets[-1]).astype(np.int32)
    # Each distinct token occurs, so that the embedding subset has its real size.
    num_distinct = min(len(input_ids), DISTINCT_TOKENS[task])
    input_ids[:num_distinct] = np.arange(1000, 1000 + num_distinct)
    return TokenTable(
        example_ids_R=np.arange(num_rows, dtype=np.int64),
        offsets=offsets,
        input_ids=input_ids,
        second_starts_R=np.maximum(1, lengths_R // 2).astype(np.int32),
        labels_R=generator.integers(0, 2, num_rows),
    )


def first_rows(table: TokenTable, num_rows: int) -> TokenTable:
    """Return a table's first rows."""
    assert table.labels_R is not None, "make_table adds labels"
    return TokenTable(
        table.example_ids_R[:num_rows],
        table.offsets[: num_rows + 1],
        table.input_ids[: table.offsets[num_rows]],
        table.second_starts_R[:num_rows],
        table.labels_R[:num_rows],
    )


def training_operations(size: Size, num_layers: int, table: TokenTable, batch_size: int) -> float:
    """Return the floating-point operations of a training step's matrix products, without padding.

    A multiplication and an addition count as two; backward is twice forward. The last layer is computed for [CLS] only.
    """
    hidden, lengths = size.hidden_size, table.lengths.astype(float)
    per_row = 24.0 * hidden**2
    full_layer = per_row * lengths + 4.0 * hidden * lengths**2
    last_layer = 4.0 * hidden**2 * lengths + 20.0 * hidden**2 + 4.0 * hidden * lengths
    per_example = (num_layers - 1) * full_layer + last_layer + 2.0 * hidden**2
    return float(3.0 * batch_size * per_example.mean())
