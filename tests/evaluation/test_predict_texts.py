"""Predicted texts get what transformers answers for them, one at a time."""

from pathlib import Path

import pytest
import torch
from tiny import WORDS, write_tiny_model
from tiny_bert import tiny_config
from transformers import AutoTokenizer, BertForSequenceClassification

from pkd_core.errors import ModelError
from pkd_core.evaluation.predict_texts import predict_texts

CPU = torch.device("cpu")
SENTENCES = [
    (" ".join(WORDS[start : start + length]),) for start, length in ((0, 2), (3, 6), (1, 12), (5, 1))
]
PAIRS = [(*first, *second) for first, second in zip(SENTENCES, reversed(SENTENCES), strict=True)]


def classifier(folder: Path, **settings: object) -> Path:
    write_tiny_model(folder)
    torch.manual_seed(5)
    config = tiny_config(
        2, vocab_size=5 + len(WORDS), max_position_embeddings=256, initializer_range=1.0, **settings
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def reference(folder: Path, texts: tuple[str, ...], max_length: int) -> torch.Tensor:
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    encoded = AutoTokenizer.from_pretrained(folder)(
        *texts, truncation=True, max_length=max_length, return_token_type_ids=True, return_tensors="pt"
    )
    with torch.inference_mode():
        return model(**encoded).logits[0]


@pytest.mark.parametrize("texts", [SENTENCES, PAIRS], ids=["sentences", "pairs"])
def test_labels_and_probabilities_are_those_of_transformers(
    texts: list[tuple[str, ...]], tmp_path: Path
) -> None:
    folder = classifier(tmp_path / "model", id2label={0: "down", 1: "level", 2: "up"})
    predictions = predict_texts(folder, texts, 9, CPU)
    for prediction, example in zip(predictions, texts, strict=True):
        probabilities = reference(folder, example, 9).softmax(dim=0)
        assert prediction.label == ("down", "level", "up")[int(probabilities.argmax())]
        assert prediction.value == pytest.approx(float(probabilities.max()), abs=1e-5)
    assert len({round(prediction.value, 3) for prediction in predictions}) > 2


def test_a_regression_answers_with_its_score(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "model", num_labels=1, problem_type="regression")
    (prediction,) = predict_texts(folder, [SENTENCES[2]], None, CPU)
    assert prediction.label is None
    assert prediction.value == pytest.approx(float(reference(folder, SENTENCES[2], 256)), abs=1e-5)


def test_a_model_of_several_labels_for_a_text_is_refused(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "model", problem_type="multi_label_classification")
    with pytest.raises(ModelError, match="one label for a text, got one of several"):
        predict_texts(folder, SENTENCES, None, CPU)


def test_a_pretrained_model_without_a_classifier_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    with pytest.raises(ModelError, match=r"expected a trained model, found no classifier\.bias"):
        predict_texts(tmp_path / "model", SENTENCES, None, CPU)
