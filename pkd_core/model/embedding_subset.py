"""Trains only the word embeddings that the data can reach: most of a small student's weights are rows never read.

A row that no batch holds has a gradient of zero, and AdamW does nothing to it but weight decay. So the rows in use are
trained in a small table, and the others are decayed when the whole table is wanted: the same weights, at a fraction of
the optimizer's work.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from transformers import BertForSequenceClassification

from pkd_core.data.token_table import TokenTable


class EmbeddingSubset:
    """Replaces a model's word embeddings by those of the words in use, from now until `release`.

    Args:
        model: Changed in place.
        tables: All data that the model will see; the vocabulary's first id is always kept, as filler.

    Attributes:
        total_decay: What weight decay has left of the words that are not in use.
    """

    def __init__(self, model: BertForSequenceClassification, tables: Sequence[TokenTable]) -> None:
        self._embeddings = model.bert.embeddings
        self._whole: nn.Embedding = self._embeddings.word_embeddings
        used = np.unique(np.concatenate([[0], *(table.input_ids for table in tables)]))
        self._ids_U = torch.from_numpy(used).to(self._whole.weight.device)
        self._new_ids = np.zeros(used[-1] + 1, dtype=np.int32)
        self._new_ids[used] = np.arange(len(used), dtype=np.int32)
        self.total_decay = 1.0
        rows = self._whole.weight.detach()[self._ids_U]
        padding = self._whole.padding_idx
        self._initial = self._whole.weight.detach().clone()
        self._used = nn.Embedding(
            len(rows),
            rows.shape[1],
            padding_idx=int(self._new_ids[padding]) if padding in used else None,
            _weight=rows,
        )
        self._embeddings.word_embeddings = self._used

    def translate(self, table: TokenTable) -> TokenTable:
        """Return a table whose token ids are rows of the small embedding."""
        return replace(table, input_ids=self._new_ids[table.input_ids])

    def decay(self, factor: float) -> None:
        """Note that a step multiplied every decayed weight by a factor before its update."""
        self.total_decay *= factor

    @contextmanager
    def full_embeddings(self) -> Iterator[None]:
        """Give the model its whole embeddings, up to date, for as long as the body runs."""
        with torch.no_grad():
            torch.mul(self._initial, self.total_decay, out=self._whole.weight.data)
            self._whole.weight[self._ids_U] = self._used.weight
        self._embeddings.word_embeddings = self._whole
        try:
            yield
        finally:
            self._embeddings.word_embeddings = self._used

    def restore(self) -> None:
        """Leave the model with its whole embeddings, up to date."""
        with self.full_embeddings():
            pass
        self._embeddings.word_embeddings = self._whole
