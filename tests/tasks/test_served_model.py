"""A model that MLflow loads accepts the task's own columns, and texts alone."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from checkpoint import write_checkpoint
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.scoring_server import invocations
from requests_to_server import FORMS, request_of
from runs import finished
from transformers import pipeline

from pkd_core.data.glue import GLUE_TASKS
from tasks.logged_model import log_model
from tasks.mlflow_store import Store

MOODS = replace(
    GLUE_TASKS["SST-2"],
    name="Moods",
    labels=("joy", "fear", "anger", "love", "hope"),
    metrics=("micro_f1",),
    multi_label=True,
)
Load = Callable[[str, Sequence[tuple[str, ...]]], PyFuncModel]


@pytest.fixture(scope="module")
def load(workspace: Path, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Load:
    """A function that logs the model of a task, with examples, and loads it back."""

    def log_and_load(name: str, examples: Sequence[tuple[str, ...]]) -> PyFuncModel:
        task = MOODS if name == "Moods" else GLUE_TASKS[name]
        folder = write_checkpoint(tmp_path_factory.mktemp(name) / "checkpoint", task)
        run = store.client.get_run(finished(workspace, f"s-{name}"))
        model = log_model(store, run, folder, name=f"{name}-kd", task=task, max_length=12, examples=examples)
        return mlflow.pyfunc.load_model(model.artifact_location)

    return log_and_load


@pytest.fixture(scope="module")
def one_text(load: Load) -> PyFuncModel:
    """The served model of a task of one text, in the column `sentence`."""
    return load("SST-2", [("a dog",)])


TEXTS = ["a dog runs", "far home ."]


@pytest.mark.parametrize(
    "given",
    [
        TEXTS,
        np.array(TEXTS),
        pd.Series(TEXTS),
        pd.Series(TEXTS, name="review"),
        pd.DataFrame({"review": TEXTS}),
        pd.DataFrame({"id": ["x", "y"], "sentence": TEXTS}),
        [{"sentence": text, "id": 7} for text in TEXTS],
        {"sentence": TEXTS},
    ],
    ids=lambda given: type(given).__name__,
)
def test_texts_alone_and_the_tasks_own_columns_get_the_same_predictions(
    one_text: PyFuncModel, given: Any
) -> None:
    first, second = (one_text.predict({"sentence": text}) for text in TEXTS)
    pd.testing.assert_frame_equal(
        one_text.predict(given), pd.concat([first, second], ignore_index=True), atol=1e-6
    )
    assert first["probability_0"][0] != second["probability_0"][0]


def test_one_string_is_one_text_and_an_empty_list_none(one_text: PyFuncModel) -> None:
    assert len(one_text.predict("a dog")) == 1
    assert len(one_text.predict([])) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pd.DataFrame({"id": ["x"], "review": ["a dog"]}), r"columns \['sentence'\], got \['id', 'review'\]"),
        ([7], "row 1: expected a text in the column 'sentence', got 7"),
        (
            pd.DataFrame({"sentence": ["a dog", None]}),
            "row 2: expected a text in the column 'sentence', got null",
        ),
        ([["a dog", "a cat"]], r"columns \['sentence'\], got \['0', '1'\]"),
    ],
)
def test_other_columns_and_what_is_no_text_are_refused_as_the_server_shows_it(
    one_text: PyFuncModel, given: Any, message: str
) -> None:
    with pytest.raises(MlflowException, match=message) as refused:
        one_text.predict(given)
    assert refused.value.get_http_status_code() == 400


@pytest.mark.parametrize("form", FORMS)
def test_mlflows_server_takes_every_form_of_request(form: str, one_text: PyFuncModel) -> None:
    answer = invocations(*request_of(form, TEXTS[0]), one_text, one_text.metadata.get_input_schema())
    assert answer.status == 200
    (row,) = json.loads(answer.response)["predictions"]
    expected = one_text.predict([TEXTS[0]]).iloc[0]
    assert row["label"] == expected["label"]
    assert row["probability_1"] == pytest.approx(expected["probability_1"], abs=1e-6)


def test_pairs_of_texts_need_no_columns_and_other_names_are_refused(load: Load) -> None:
    pairs = [("a dog sleeps .", "a cat runs home ."), ("far", "a .")]
    served = load("RTE", pairs)
    named = served.predict(pd.DataFrame(pairs, columns=["sentence1", "sentence2"]))
    pd.testing.assert_frame_equal(served.predict(pairs), named)
    with pytest.raises(MlflowException, match=r"got \['premise', 'hypothesis'\]"):
        served.predict(pd.DataFrame(pairs, columns=["premise", "hypothesis"]))


def test_several_labels_are_those_that_transformers_finds_likely(load: Load, tmp_path: Path) -> None:
    served = load("Moods", [("a dog",)])
    texts = ["a dog runs", "far home .", "a cat sleeps", "home"]
    found = served.predict(texts)
    folder = write_checkpoint(tmp_path / "checkpoint", MOODS)  # the same weights again
    classify = pipeline("text-classification", str(folder), top_k=None)
    assert list(found.columns) == ["labels", *(f"probability_{label}" for label in MOODS.labels)]
    for row, expected in enumerate(classify(texts)):
        scores = {one["label"]: one["score"] for one in expected}
        assert found["labels"][row] == [label for label in MOODS.labels if scores[label] >= 0.5]
        for label, score in scores.items():
            assert found[f"probability_{label}"][row] == pytest.approx(score, abs=1e-5)
    assert {len(labels) for labels in found["labels"]} > {2}
    signature = served.metadata.signature.outputs.to_dict()
    assert signature[0] == {
        "type": "array", "items": {"type": "string"}, "name": "labels", "required": True
    }  # fmt: skip
    assert served.predict([]).columns.tolist() == found.columns.tolist()
