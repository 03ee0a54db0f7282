"""The functions for notebooks: what they refuse, what a student answers, and that importing pkd_core costs nothing."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pkd_core import compress, load_student
from pkd_core.errors import ConfigError, ModelError, PkdError
from pkd_core.evaluation.text_answers import Array, Kind
from pkd_core.pipeline.notebook import Student


class Fixed:
    """A model of two outputs that gives every text the same ones."""

    labels = ("rude", "long")

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.seen: list[tuple[str, ...]] = []

    def logits(self, texts: Sequence[tuple[str, ...]]) -> Array:
        self.seen += texts
        return np.array([[-3.0, 2.0]] * len(texts), dtype=np.float32)


def test_a_student_answers_classes_labels_and_scores() -> None:
    (of_classes,) = Student(Fixed("classes")).predict(["a text"])
    assert of_classes["label"] == "long"
    assert (
        of_classes["probability"] == of_classes["probabilities"]["long"] == pytest.approx(0.993307, abs=1e-6)
    )
    (of_labels,) = Student(Fixed("multi-label")).predict(["a text"])
    assert of_labels["labels"] == ["long"]
    assert of_labels["probabilities"]["rude"] == pytest.approx(0.047426, abs=1e-6)
    assert Student(Fixed("regression")).predict(["a text"]) == [{"score": -3.0}]


def test_pairs_are_taken_and_one_text_in_place_of_a_list_is_refused() -> None:
    model = Fixed("classes")
    assert len(Student(model).predict([("a", "b"), ["c", "d"]])) == 2
    assert model.seen == [("a", "b"), ("c", "d")]
    assert Student(model).predict([]) == []
    with pytest.raises(ConfigError, match="predict takes a list of texts, got the text 'a text'"):
        Student(model).predict("a text")


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no classifier in"):
        load_student(tmp_path)


def test_an_unknown_argument_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="compress has no argument 'labels'; it takes data, name, texts, label"
    ):
        compress("reviews.csv", labels="stars", workspace=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_single_column_may_be_given_by_its_name_alone(tmp_path: Path) -> None:
    data = tmp_path / "reviews.csv"
    data.write_text("title,stars\nfine,up\n", encoding="utf-8")
    for column in ("stars", ["stars"]):
        with pytest.raises(PkdError, match="has no column 'body'; its columns are title, stars"):
            compress(data, texts="body", label=column, workspace=tmp_path)


def test_importing_pkd_core_loads_neither_torch_nor_the_pipeline() -> None:
    code = (
        "import sys, pkd_core; assert not {'torch', 'transformers', 'pkd_core.pipeline'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
