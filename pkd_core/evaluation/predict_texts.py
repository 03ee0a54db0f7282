"""Predicts texts with a fine-tuned classifier: tokenising and forward pass in one call."""

from collections.abc import Sequence
from pathlib import Path

import torch

from pkd_core.data.tokenize import text_encoder
from pkd_core.evaluation.predict import predict
from pkd_core.evaluation.text_answers import Array, Kind
from pkd_core.model.classifier_files import read_classifier
from pkd_core.model.loading import load_classifier
from pkd_core.model.text_classifier import load_text_classifier, run_texts


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
        self.kind = _kind(config.problem_type, len(self.labels))

    def logits(self, texts: Sequence[tuple[str, ...]]) -> Array:
        """Return the outputs for one or two texts of each example, (R, C), float32."""
        return predict(self._model, self._encode(texts), self._device)[1]


class AnyTextModel:
    """A fine-tuned classifier of another family with its tokenizer, in float32, up to its own length limit.

    Args:
        folder: In Hugging Face's files.
        device: Where to compute.

    Raises:
        ModelError: The folder holds no such classifier.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        settings = read_classifier(str(folder), folder)
        self._classifier = load_text_classifier(folder)
        self._device = device
        self.labels = settings.labels
        self.kind = _kind(settings.problem_type, len(settings.labels))

    def logits(self, texts: Sequence[tuple[str, ...]]) -> Array:
        """Return the outputs for one or two texts of each example, (R, C), float32."""
        windows = run_texts(self._classifier, texts, self._device)
        return torch.cat([outputs.logits_BC for outputs in windows]).numpy()


def _kind(problem_type: str | None, num_outputs: int) -> Kind:
    if problem_type == "regression" or num_outputs == 1:
        return "regression"
    return "multi-label" if problem_type == "multi_label_classification" else "classes"
