"""Predicted texts get what transformers answers for them, one at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import WORDS, write_tiny_model
from tiny_bert import tiny_config
from transformers import AutoTokenizer, BertForSequenceClassification

from pkd_core.errors import ModelError
from pkd_core.evaluation.predict_texts import BertTextModel
from pkd_core.evaluation.text_answers import answer, answers_of

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
    answers = answer(BertTextModel(folder, 9, CPU), texts)
    for one, example in zip(answers, texts, strict=True):
        expected = reference(folder, example, 9).softmax(dim=0)
        assert list(one.probabilities) == ["down", "level", "up"]
        assert list(one.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)
        best = ("down", "level", "up")[int(expected.argmax())]
        assert one.labels == {best: one.probabilities[best]}
    assert len({tuple(one.labels.values()) for one in answers}) == len(texts)


def test_a_regression_answers_with_its_score(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "model", num_labels=1, problem_type="regression")
    (one,) = answer(BertTextModel(folder, None, CPU), [SENTENCES[2]])
    assert (one.labels, one.probabilities) == ({}, {})
    assert one.score == pytest.approx(float(reference(folder, SENTENCES[2], 256)), abs=1e-5)


def test_a_model_of_several_labels_for_a_text_gives_all_that_are_likely(tmp_path: Path) -> None:
    names = {position: f"about-{position}" for position in range(6)}
    folder = classifier(tmp_path / "model", problem_type="multi_label_classification", id2label=names)
    answers = answer(BertTextModel(folder, None, CPU), SENTENCES)
    for one, example in zip(answers, SENTENCES, strict=True):
        expected = reference(folder, example, 256).sigmoid().tolist()
        assert list(one.probabilities.values()) == pytest.approx(expected, abs=1e-5)
        assert list(one.labels) == [
            names[position] for position, value in enumerate(expected) if value >= 0.5
        ]
    assert {len(one.labels) for one in answers} > {2}


def test_a_pretrained_model_without_a_classifier_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    with pytest.raises(ModelError, match=r"expected a trained model, found no classifier\.bias"):
        BertTextModel(tmp_path / "model", None, CPU)


def test_probabilities_of_large_outputs_are_numbers() -> None:
    large = np.array([[2000.0, -2000.0]], dtype=np.float32)
    for kind in ("classes", "multi-label"):
        (one,) = answers_of(large, kind, ["a", "b"])
        assert one.probabilities == {"a": 1.0, "b": 0.0}
