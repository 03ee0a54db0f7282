"""The model card of a compression, and the files that are written together."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from compressed_models import compression
from huggingface_hub import ModelCard

from pkd_core.errors import StoreError
from pkd_core.report.compression.card import model_card
from pkd_core.report.compression.verdict import judge
from pkd_core.report.compression.write import read_verdict, write_compression


def test_the_card_reads_back_with_its_score_and_without_a_licence() -> None:
    card = ModelCard(model_card(compression()))
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("accuracy", 0.88, "test")
    assert card.data.model_name == "Reviews-kd-3l-s42"
    assert card.data.pipeline_tag == "text-classification"
    assert card.data.license is None
    assert card.data.base_model is None, "a folder is no name on the hub"
    assert "None is stated here" in card.text


def test_a_base_model_of_the_hub_is_named() -> None:
    made = compression()
    training = replace(made.training, student_base="google-bert/bert-base-uncased", has_own_teacher=False)
    card = ModelCard(model_card(replace(made, training=training)))
    assert card.data.base_model == "google-bert/bert-base-uncased"
    assert "distilled from reviews-bert, fine-tuned by `kd`" in card.text


@pytest.mark.parametrize(
    ("metric", "name"), [("macro_f1", "f1"), ("subset_accuracy", "accuracy"), ("pearson", "pearsonr")]
)
def test_scores_have_the_names_of_the_hub(metric: str, name: str) -> None:
    card = ModelCard(model_card(compression(metric=metric)))
    assert card.data.eval_results[0].metric_type == name
    assert card.data.metrics == [name]


def test_it_has_labels_figures_sentences_limits_and_lines_to_paste() -> None:
    made = compression()
    made = replace(made, data=replace(made.data, label_counts={"good": 500, "fair": 9, "bad": 10}))
    text = model_card(made)
    assert "| output | bad, fair, good |" in text
    assert re.search(r"\| kd, 3 layers \| ONNX, int8 \| 87.5 \| 83.9–90.4 \|.* 1.8 \| 2.7 \| 744 \|", text)
    assert f"- {judge(made).cost}\n" in text
    assert 'python bundle/predict.py "some text"' in text
    assert "Labels with fewer than 10 training examples are hardly learnt: fair.\n" in text
    assert "beyond 128 tokens is not read" in text
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({}, "Probabilities are not calibrated, and every text gets an answer"),
        (
            {"is_multi_label": True},
            "A text gets every label with a probability of 0.5 and more: several, one or none.",
        ),
        ({"labels": ()}, "Every text gets a score, one of another kind too"),
    ],
)
def test_the_last_limit_is_that_of_the_kind_of_answer(changes: dict[str, Any], limit: str) -> None:
    limits = model_card(compression(**changes)).partition("## Limits\n")[2].partition("## Settings")[0]
    assert limits.strip().splitlines()[-1].startswith(f"- {limit}")


def test_scores_are_compared_with_the_mean() -> None:
    assert "always giving the mean score scores" in model_card(compression(labels=()))
    assert "always giving the most frequent answer scores" in model_card(compression())


def test_a_cell_with_a_bar_and_line_breaks_stays_a_cell() -> None:
    text = model_card(compression(labels=("a|b", "c\nd")))
    assert r"| output | a\|b, c d |" in text


def test_what_is_written_reads_back_and_is_the_same_each_time(tmp_path: Path) -> None:
    made = compression()
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_compression(tmp_path / name, made)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"compression.json", "compression.html", "compression.txt", "README.md"}
    values = json.loads(contents[0]["compression.json"])
    assert values["variants"][5]["vs_teacher"]["num_examples"] == -10
    assert values["variants"][5]["timing"]["p50_ms"] == 1.8
    assert read_verdict(tmp_path / "first") == judge(made)


def test_a_verdict_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "compression.json").write_text('{"verdict": {"had": "a"}}')
    with pytest.raises(StoreError, match="run again to write a new one"):
        read_verdict(tmp_path)
