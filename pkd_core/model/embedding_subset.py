"""Training only the word embeddings that occur in the data: most weights of a small student are rows never read.

A row that no batch reads has a zero gradient, so AdamW changes it by weight decay alone. The rows in use are therefore
trained in a small table, and the others are decayed when the full table is needed: the same weights, for a fraction
of the optimizer's work.

Shapes: U token ids in use.
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
    """Replaces a model's word embeddings with the rows in use, until `restore`.

    Args:
        model: Changed in place.
        tables: All data that the model will read. Token id 0 is always kept, as filler of packed batches.

    Attributes:
        total_decay: The product of all factors given to `decay`.
    """

    def __init__(self, model: BertForSequenceClassification, tables: Sequence[TokenTable]) -> None:
        self._embeddings = model.bert.embeddings
        self._full: nn.Embedding = self._embeddings.word_embeddings
        used = np.unique(np.concatenate([[0], *(table.input_ids for table in tables)]))
        self._ids_U = torch.from_numpy(used).to(self._full.weight.device)
        self._new_ids = np.zeros(used[-1] + 1, dtype=np.int32)
        self._new_ids[used] = np.arange(len(used), dtype=np.int32)
        self.total_decay = 1.0
        rows = self._full.weight.detach()[self._ids_U]
        padding = self._full.padding_idx
        self._initial = self._full.weight.detach().clone()
        self._subset = nn.Embedding(
            len(rows),
            rows.shape[1],
            padding_idx=int(self._new_ids[padding]) if padding in used else None,
            _weight=rows,
        )
        self._embeddings.word_embeddings = self._subset

    def translate(self, table: TokenTable) -> TokenTable:
        """Return one of the tables with token ids replaced by rows of the small embedding."""
        return replace(table, input_ids=self._new_ids[table.input_ids])

    def decay(self, factor: float) -> None:
        """Record that an optimizer step multiplied each decayed weight by a factor before its update."""
        self.total_decay *= factor

    @contextmanager
    def full_embeddings(self) -> Iterator[None]:
        """Give the model its full, current embeddings while the body runs."""
        with torch.no_grad():
            torch.mul(self._initial, self.total_decay, out=self._full.weight.data)
            self._full.weight[self._ids_U] = self._subset.weight
        self._embeddings.word_embeddings = self._full
        try:
            yield
        finally:
            self._embeddings.word_embeddings = self._subset

    def restore(self) -> None:
        """Give the model its full, current embeddings for good."""
        with self.full_embeddings():
            pass
        self._embeddings.word_embeddings = self._full
