"""Predicts texts with a fine-tuned BERT: tokenising and forward pass in one call."""

from collections.abc import Sequence
from pathlib import Path

import torch

from pkd_core.data.tokenize import text_encoder
from pkd_core.evaluation.predict import predict
from pkd_core.evaluation.text_answers import Array, Kind
from pkd_core.model.loading import load_classifier


class BertTextModel:
    """A fine-tuned BERT classifier with its tokenizer, in float32 as in evaluations.

    Args:
        folder: In Hugging Face's files.
        max_length: Tokens kept of an example; None for as many as the model has positions.
        device: Where to compute.

    Raises:
        ModelError: The folder holds no such classifier.
    """

    def __init__(self, folder: Path, max_length: int | None, device: torch.device) -> None:
        self._model = load_classifier(folder)
        config = self._model.config
        self._encode = text_encoder(folder, max_length or config.max_position_embeddings)
        self._device = device
        torch.nn.Module.to(self._model, device)  # transformers' own `to` carries no types
        assert config.id2label is not None, "transformers fills it in"
        self.labels = tuple(name for _, name in sorted(config.id2label.items()))
        self.kind: Kind = "classes"
        if config.problem_type == "regression" or config.num_labels == 1:
            self.kind = "regression"
        elif config.problem_type == "multi_label_classification":
            self.kind = "multi-label"

    def logits(self, texts: Sequence[tuple[str, ...]]) -> Array:
        """Return the outputs for one or two texts of each example, (R, C), float32."""
        return predict(self._model, self._encode(texts), self._device)[1]
