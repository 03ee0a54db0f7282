"""Predicts texts with a trained classifier: tokenising, forward pass and the label's name in one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pkd_core.data.tokenize import encode_texts
from pkd_core.errors import ModelError
from pkd_core.evaluation.predict import predict
from pkd_core.model.loading import load_classifier


@dataclass(frozen=True)
class Prediction:
    """What a model answers for one example.

    Attributes:
        label: The most probable label; None for a score.
        value: Its probability, or the score.
    """

    label: str | None
    value: float


def predict_texts(
    folder: Path, texts: Sequence[tuple[str, ...]], max_length: int | None, device: torch.device
) -> list[Prediction]:
    """Predict examples in float32, as evaluations do.

    Args:
        folder: A fine-tuned BERT classifier with its tokenizer, in Hugging Face's files.
        texts: One or two texts of each example, of all the same number.
        max_length: Tokens kept of an example; None for as many as the model has positions.
        device: Where to compute.

    Raises:
        ModelError: The folder holds no such classifier, or one that gives several labels to a text.
    """
    model = load_classifier(folder)
    config = model.config
    if config.problem_type == "multi_label_classification":
        raise ModelError(
            f"{folder}: expected a model of one label for a text, got one of several; choose another"
        )
    torch.nn.Module.to(model, device)  # transformers' own `to` carries no types
    table = encode_texts(texts, folder, max_length or config.max_position_embeddings)
    _, logits_RC = predict(model, table, device)
    if config.problem_type == "regression" or config.num_labels == 1:
        return [Prediction(None, float(score)) for score in logits_RC[:, 0]]
    assert config.id2label is not None, "transformers fills it in"
    probabilities_RC = torch.from_numpy(logits_RC).double().softmax(dim=1)
    best_R = probabilities_RC.max(dim=1)
    return [
        Prediction(config.id2label[position], value)
        for position, value in zip(best_R.indices.tolist(), best_R.values.tolist(), strict=True)
    ]
