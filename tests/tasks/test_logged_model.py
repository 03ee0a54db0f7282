"""The logged model predicts what its checkpoint predicts, without pkd, and is found by its name."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from checkpoint import write_checkpoint
from mlflow.entities import LoggedModel
from runs import finished
from transformers import AutoTokenizer, BertForSequenceClassification

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import StoreError
from tasks import logged_model
from tasks.logged_model import log_model
from tasks.mlflow_store import Store, tracking_uri
from tasks.registry import register

_PAIRS = [("a dog sleeps .", "a cat runs home ."), ("a cat sleeps far far far", "dogs"), ("far", "a .")]
_MAX_LENGTH = 12
# Their ends are cut, in the first text, in the second, and in both.
_LONG_PAIRS = [("a dog " * 9, "a cat"), ("far", "home runs a cat . " * 4), ("dog . " * 8, "runs far " * 8)]


def _run(workspace: Path, fingerprint: str, seed: str = "42") -> str:
    return finished(workspace, fingerprint, tags={"task": "RTE", "seed": seed, "fingerprint": fingerprint})


def _log(store: Store, run_id: str, folder: Path, name: str) -> LoggedModel:
    """Log a checkpoint, and register it as a version of `<name>-any`."""
    run = store.client.get_run(run_id)
    model = log_model(
        store, run, folder, name=name, task=GLUE_TASKS["RTE"], max_length=_MAX_LENGTH, examples=_PAIRS
    )
    register(store, run, model, f"{name}-any")
    return model


def _probabilities(folder: Path, pairs: list[tuple[str, str]], max_length: int) -> np.ndarray:
    """Predict one pair at a time: no padding, no batches."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    rows = []
    for pair in pairs:
        encoded = tokenizer(*pair, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.inference_mode():
            rows.append(model(**encoded).logits[0].softmax(dim=0).numpy())
    return np.stack(rows)


@pytest.fixture(scope="module")
def logged(
    workspace: Path, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, LoggedModel]:
    folder = write_checkpoint(tmp_path_factory.mktemp("rte") / "checkpoint", GLUE_TASKS["RTE"])
    return folder, _log(store, _run(workspace, "m-rte"), folder, "RTE-pkd-skip-2l")


def test_the_newest_model_of_a_name_predicts_what_transformers_predicts(
    workspace: Path, store: Store, logged: tuple[Path, LoggedModel]
) -> None:
    folder, model = logged
    version = store.client.get_model_version_by_alias("RTE-pkd-skip-2l-any", "newest")
    served = mlflow.pyfunc.load_model(version.source)
    # More rows than one batch of the served model holds.
    texts = (_PAIRS + _LONG_PAIRS) * 20
    answers = served.predict(pd.DataFrame(texts, columns=["sentence1", "sentence2"]))

    expected = _probabilities(folder, texts, max_length=_MAX_LENGTH)
    assert set(answers["label"]) == {"entailment", "not_entailment"}
    assert list(answers.columns) == ["label", "probability_entailment", "probability_not_entailment"]
    np.testing.assert_allclose(answers.iloc[:, 1:].to_numpy(), expected, atol=1e-5)
    assert [("entailment", "not_entailment")[row] for row in expected.argmax(axis=1)] == list(
        answers["label"]
    )
    assert len(set(map(tuple, expected.round(3)))) == 6, "the examples must have different answers"
    for max_length in (_MAX_LENGTH - 1, _MAX_LENGTH + 1):
        others = _probabilities(folder, _LONG_PAIRS, max_length)
        assert (np.abs(others - expected[3:6]).max(axis=1) > 1e-3).all(), (
            "the examples must show where they are cut"
        )
    assert model.artifact_location == version.source
    assert version.tags["seed"] == "42"
    assert served.predict(pd.DataFrame({"sentence1": [], "sentence2": []}, dtype=str)).empty


@pytest.mark.slow
def test_the_model_is_loaded_and_served_where_pkd_is_not_installed(
    workspace: Path, store: Store, logged: tuple[Path, LoggedModel], tmp_path: Path
) -> None:
    folder, _ = logged
    code = """
import json, os, sys

class Absent:
    imported = []

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pkd_core", "tasks", "flows"):
            self.imported.append(name)
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
os.environ.update(HF_HUB_OFFLINE="1", MLFLOW_DISABLE_TELEMETRY="true")
import mlflow.pyfunc
import pandas as pd

mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/RTE-pkd-skip-2l-any@newest")
answers = model.predict(pd.DataFrame({"sentence1": [sys.argv[2]], "sentence2": [sys.argv[3]]}))
json.dump({"imported": Absent.imported, "row": answers.iloc[0, 1:].tolist()}, sys.stdout)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, tracking_uri(workspace), *_PAIRS[0]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    answer = json.loads(done.stdout)
    assert answer["imported"] == []
    np.testing.assert_allclose(
        answer["row"], _probabilities(folder, _PAIRS[:1], max_length=_MAX_LENGTH)[0], atol=1e-5
    )


def test_logging_a_run_s_model_again_changes_nothing(
    workspace: Path, store: Store, logged: tuple[Path, LoggedModel]
) -> None:
    folder, model = logged
    before = store.client.get_run(model.source_run_id).to_dictionary()
    assert _log(store, model.source_run_id, folder, "RTE-pkd-skip-2l").model_id == model.model_id
    (version,) = store.client.search_model_versions("name = 'RTE-pkd-skip-2l-any'")
    found = store.client.get_logged_model(model.model_id)
    assert json.loads(found.tags["mlflow.modelVersions"]) == [
        {"name": "RTE-pkd-skip-2l-any", "version": str(version.version)}
    ]
    assert store.client.get_run(model.source_run_id).to_dictionary() == before


def test_a_model_that_the_store_does_not_accept_is_not_registered_and_is_logged_by_the_next_run(
    workspace: Path, store: Store, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", GLUE_TASKS["RTE"])
    run_id = _run(workspace, "m-full")
    models = workspace / "artifacts" / "mlflow-files" / "models"
    models.parent.mkdir(exist_ok=True)
    if models.exists():
        models.rename(models.with_name("models-before"))
    models.write_bytes(b"in the way")

    with pytest.raises(StoreError, match=r"MLflow needs to log RTE-full, .*; check the store and run again"):
        _log(store, run_id, folder, "RTE-full")
    models.unlink()
    if models.with_name("models-before").exists():
        models.with_name("models-before").rename(models)

    assert store.client.search_registered_models("name = 'RTE-full-any'") == []
    (model,) = store.client.search_logged_models([store.experiment_id], "name = 'RTE-full'")
    assert model.status == "FAILED"
    model = _log(store, run_id, folder, "RTE-full")
    assert model.status == "READY"
    assert store.client.get_model_version_by_alias("RTE-full-any", "newest").source == model.artifact_location


@pytest.mark.parametrize(
    ("task", "texts", "columns"),
    [
        ("SST-2", ("a dog runs",), ["label", "probability_0", "probability_1"]),
        ("STS-B", ("a dog runs", "a cat runs"), ["score"]),
        ("MNLI", ("a dog", "a cat"), ["label", *(f"probability_{x}" for x in GLUE_TASKS["MNLI"].labels)]),
    ],
)
def test_each_kind_of_task_has_its_own_signature_and_nothing_reaches_the_terminal(
    workspace: Path,
    store: Store,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    task: str,
    texts: tuple[str, ...],
    columns: list[str],
) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", GLUE_TASKS[task])
    run_id = _run(workspace, f"m-{task}")
    capfd.readouterr()

    location = log_model(
        store,
        store.client.get_run(run_id),
        folder,
        name=f"{task}-kd-2l",
        task=GLUE_TASKS[task],
        max_length=_MAX_LENGTH,
        examples=[texts],
    ).artifact_location

    assert capfd.readouterr() == ("", "")
    model = mlflow.pyfunc.load_model(location)
    assert model.metadata.signature.outputs.input_names() == columns
    names = list(GLUE_TASKS[task].text_columns)
    assert model.metadata.signature.inputs is None
    assert model.input_example == [dict(zip(names, texts, strict=True))]
    assert list(model.predict(model.input_example).columns) == columns
    assert list(model.predict(pd.DataFrame([texts], columns=names)).columns) == columns
    requirements = (
        Path(location.removeprefix("file://").replace("%20", " ")) / "requirements.txt"
    ).read_text()
    assert "torch==2" in requirements
    assert "+" not in requirements


def test_nothing_that_a_tracking_server_returns_is_loaded_or_executed() -> None:
    """A server may be hostile: what was logged there is neither fetched nor loaded back."""
    fetching = {
        "load_model",
        "load_context",
        "download_artifacts",
        "download_artifact_from_uri",
        "get_artifact",
    }
    room = Path(logged_model.__file__).parent
    called = {
        node.attr
        for path in room.glob("*.py")
        if path.name != "served_model.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    assert "log_model_artifacts" in called
    assert not called & fetching
