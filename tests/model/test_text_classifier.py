"""Classifiers of every family read texts as transformers does, one text at a time, whatever they are batched with."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES, write_classifier
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pkd_core.errors import ModelError
from pkd_core.model.forward import Outputs
from pkd_core.model.text_classifier import TextClassifier, load_text_classifier, run_texts

WORDS = [
    "good",
    "bad",
    "fine",
    "poor",
    "film",
    "play",
    "book",
    "song",
    "was",
    "seemed",
    "the",
    "a",
    "very",
    "not",
    "Étude",
    "isn't",
]
LABELS = ("a", "b", "c")
CPU = torch.device("cpu")


def make_pairs(count: int) -> list[tuple[str, ...]]:
    rng = random.Random(0)
    return [
        tuple(" ".join(rng.choices(WORDS, k=rng.choice((1, 4, 9, 30)))) for _ in range(2))
        for _ in range(count)
    ]


PAIRS = make_pairs(10)


def write(folder: Path, family: str, **changes: Any) -> Path:
    write_classifier(folder, family, [text for pair in PAIRS for text in pair], LABELS, **changes)
    return folder


def one_at_a_time(folder: Path, texts: list[tuple[str, ...]], max_length: int) -> tuple[Any, list[Any]]:
    """Return the logits, and each text's hidden states, as plain transformers computes them."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        outputs = [
            model(
                **tokenizer(*one, truncation=True, max_length=max_length, return_tensors="pt"),
                output_hidden_states=True,
            )
            for one in texts
        ]
    return torch.cat([one.logits for one in outputs]), [one.hidden_states[1:] for one in outputs]


def run(classifier: TextClassifier, texts: list[tuple[str, ...]], **how: Any) -> Outputs:
    (outputs,) = run_texts(classifier, texts, CPU, **how)
    return outputs


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_states_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    folder = write(tmp_path, family)
    classifier = load_text_classifier(folder)
    positions = 38 if family in ("roberta", "xlm-roberta", "camembert", "mpnet") else 40
    assert classifier.max_length == positions
    for texts in (PAIRS, [pair[:1] for pair in PAIRS]):
        logits, hidden = one_at_a_time(folder, texts, positions)
        states = torch.stack([torch.stack([layer[0, 0] for layer in one]) for one in hidden])
        outputs = run(classifier, texts)
        assert logits.std(dim=0).min() > 0.01, "the model tells texts apart"
        torch.testing.assert_close(outputs.logits_BC, logits, atol=2e-5, rtol=0)
        assert outputs.cls_states_BND.shape == (10, 3, 24)
        torch.testing.assert_close(outputs.cls_states_BND, states, atol=2e-5, rtol=0)


def test_where_the_head_reads_the_mean_states_are_means_over_the_tokens(tmp_path: Path) -> None:
    folder = write(tmp_path, "modernbert", classifier_pooling="mean")
    logits, hidden = one_at_a_time(folder, PAIRS, 40)
    states = torch.stack([torch.stack([layer[0].mean(dim=0) for layer in one]) for one in hidden])
    outputs = run(load_text_classifier(folder), PAIRS)
    torch.testing.assert_close(outputs.logits_BC, logits, atol=2e-5, rtol=0)
    torch.testing.assert_close(outputs.cls_states_BND, states, atol=2e-5, rtol=0)


def test_outputs_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    classifier = load_text_classifier(write(tmp_path, "roberta"))
    together, alone = run(classifier, PAIRS), run(classifier, PAIRS, max_tokens=1)
    torch.testing.assert_close(alone.logits_BC, together.logits_BC, atol=2e-5, rtol=0)
    last = run(classifier, PAIRS, windows=[range(7, len(PAIRS))])
    torch.testing.assert_close(last.logits_BC, together.logits_BC[7:], atol=2e-5, rtol=0)


def test_batches_have_bounded_rows_and_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load_text_classifier(write(tmp_path, "bert"))
    shapes: list[tuple[int, ...]] = []
    forward = classifier.model.forward

    def spy(**inputs: Any) -> Any:
        shapes.append(tuple(inputs["input_ids"].shape))
        return forward(**inputs)

    monkeypatch.setattr(classifier.model, "forward", spy)
    run(classifier, [("good",)] * 100 + [("good bad",)] * 30, max_tokens=256)
    assert shapes == [(64, 4), (64, 3), (2, 3)]


def test_the_tokenizers_own_limit_counts_where_it_is_smaller(tmp_path: Path) -> None:
    folder = write(tmp_path, "bert")
    values = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(values | {"model_max_length": 12}), "utf-8")
    assert load_text_classifier(folder).max_length == 12


def test_weights_in_half_precision_are_computed_with_in_float32(tmp_path: Path) -> None:
    folder = write(tmp_path, "bert")
    weights = {name: weight.half() for name, weight in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    outputs = run(load_text_classifier(folder), PAIRS[:2])
    assert (outputs.logits_BC.dtype, outputs.cls_states_BND.dtype) == (torch.float32, torch.float32)


def test_a_missing_weight_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, "roberta")
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ModelError, match=r"1 weights are absent or of another shape, such as classifier\.dense"
    ):
        load_text_classifier(folder)
