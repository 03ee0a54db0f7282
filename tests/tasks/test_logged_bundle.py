"""An exported model that MLflow loads answers as its bundle does, without torch, and names what is no text."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.scoring_server import invocations
from requests_to_server import FORMS, request_of
from runs import finished
from tiny_bundle import expected_logits, write_tiny_bundle

from pkd_core.export.bundle import Bundle, Kind
from tasks.logged_bundle import log_bundle
from tasks.mlflow_store import Store

TEXTS = ["good film", "bad play bad"]
Log = Callable[..., str]


@pytest.fixture(scope="module")
def log(workspace: Path, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A function that logs a bundle and returns where MLflow has the model."""

    def log_one(
        name: str,
        kind: Kind = "classes",
        labels: tuple[str, ...] = ("down", "up"),
        columns: tuple[str, ...] = ("sentence",),
        files: tuple[str, ...] = ("model.onnx",),
    ) -> str:
        folder = write_tiny_bundle(tmp_path_factory.mktemp(name), kind, labels, columns, files)
        run = store.client.get_run(finished(workspace, f"b-{name}"))
        bundle = Bundle(labels, columns, 16, kind)
        examples = [(TEXTS[0],) * len(columns)]
        model = log_bundle(store, run, folder, name=name, bundle=bundle, examples=examples)
        assert (
            log_bundle(store, run, folder, name=name, bundle=bundle, examples=examples).model_id
            == model.model_id
        )
        return str(model.artifact_location)

    return log_one


@pytest.fixture(scope="module")
def served(log: Log) -> PyFuncModel:
    return mlflow.pyfunc.load_model(log("one-text", files=("model.onnx", "model.int8.onnx")))


def probabilities(text: str, scale: float) -> list[float]:
    values = np.exp(expected_logits(text, scale))
    return list(values / values.sum())


@pytest.mark.parametrize(
    "given",
    [
        TEXTS,
        np.array(TEXTS),
        pd.Series(TEXTS, name="review"),
        pd.DataFrame({"id": ["x", "y"], "sentence": TEXTS}),
        [{"sentence": text, "id": 7} for text in TEXTS],
        {"sentence": TEXTS},
    ],
    ids=lambda given: type(given).__name__,
)
def test_texts_alone_and_named_columns_get_the_answers_of_int8(served: PyFuncModel, given: Any) -> None:
    answers = served.predict(given)
    assert list(answers.columns) == ["label", "probability_down", "probability_up"]
    assert list(answers["label"]) == ["up", "down"]
    expected = [probabilities(text, scale=2.0) for text in TEXTS]
    np.testing.assert_allclose(answers.iloc[:, 1:].to_numpy(dtype=float), expected, atol=1e-6)


def test_no_rows_get_no_answers(served: PyFuncModel) -> None:
    assert list(served.predict([]).columns) == ["label", "probability_down", "probability_up"]
    assert len(served.predict(pd.DataFrame({"sentence": []}, dtype=str))) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            pd.DataFrame({"id": ["x"], "review": ["a"]}),
            r"expected the columns \['sentence'\], got \['id', 'review'\]",
        ),
        (
            pd.DataFrame({"sentence": ["a", None]}),
            "row 2: expected a text in the column 'sentence', got null",
        ),
        (
            pd.DataFrame({"sentence": [float("nan")]}),
            "row 1: expected a text in the column 'sentence', got null",
        ),
        ([7], "row 1: expected a text in the column 'sentence', got 7"),
        ([["a", "b"]], r"expected the columns \['sentence'\], got \['0', '1'\]"),
    ],
)
def test_what_is_no_text_is_refused_as_the_server_shows_it(
    served: PyFuncModel, given: Any, message: str
) -> None:
    with pytest.raises(MlflowException, match=message) as refused:
        served.predict(given)
    assert refused.value.get_http_status_code() == 400


def test_pairs_several_labels_and_scores(log: Log) -> None:
    pair = mlflow.pyfunc.load_model(log("pairs", columns=("premise", "hypothesis")))
    expected = probabilities("good bad bad", 1.0)
    for given in ([("good", "bad bad")], pd.DataFrame({"hypothesis": ["bad bad"], "premise": ["good"]})):
        assert pair.predict(given).iloc[0, 1:].tolist() == pytest.approx(expected)
    several = mlflow.pyfunc.load_model(log("several", kind="multi-label"))
    answers = several.predict(["film", "good"])
    assert list(answers["labels"]) == [["down", "up"], ["up"]]
    assert several.metadata.signature.outputs.input_names() == list(answers.columns)
    score = mlflow.pyfunc.load_model(log("score", kind="regression", labels=("score",)))
    assert score.predict(["good", "bad"])["score"].tolist() == [-1.0, 1.5]


def test_the_model_holds_one_onnx_file_and_names_small_packages(log: Log) -> None:
    folder = Path(
        log("files", files=("model.onnx", "model.int8.onnx")).removeprefix("file://").replace("%20", " ")
    )
    bundle = folder / "artifacts"
    names = sorted(path.name for path in bundle.rglob("*") if path.is_file())
    assert names == ["bundle.json", "model.int8.onnx", "predict.py", "tokenizer.json"]
    packages = [line.partition("==")[0] for line in (folder / "requirements.txt").read_text().splitlines()]
    assert sorted(packages) == ["mlflow", "numpy", "onnxruntime", "pandas", "tokenizers"]


def test_the_model_is_loaded_where_neither_pkd_nor_torch_is_installed(log: Log, tmp_path: Path) -> None:
    code = """
import json, os, sys

class Absent:
    imported = []

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pkd_core", "tasks", "flows", "torch", "transformers"):
            self.imported.append(name)
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
os.environ.update(MLFLOW_DISABLE_TELEMETRY="true")
import mlflow.pyfunc
model = mlflow.pyfunc.load_model(sys.argv[1])
Absent.imported.clear()  # MLflow looks which of them there are
answers = model.predict([sys.argv[2]])
json.dump({"imported": Absent.imported, "label": answers["label"][0]}, sys.stdout)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, log("elsewhere"), TEXTS[1]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout) == {"imported": [], "label": "down"}


@pytest.mark.parametrize("form", FORMS)
def test_mlflows_server_takes_every_form_of_request(form: str, served: PyFuncModel) -> None:
    answer = invocations(*request_of(form, TEXTS[0]), served, served.metadata.get_input_schema())
    assert answer.status == 200
    (row,) = json.loads(answer.response)["predictions"]
    assert row["label"] == "up"
    assert row["probability_up"] == pytest.approx(probabilities(TEXTS[0], scale=2.0)[1], abs=1e-6)
