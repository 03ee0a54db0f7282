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
from runs import finished
from tiny_bert import tiny_config
from transformers import AutoTokenizer, BertForSequenceClassification, BertTokenizerFast

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.task import Task
from pkd_core.errors import StoreError
from tasks import logged_model
from tasks.logged_model import log_model
from tasks.mlflow_store import Store, tracking_uri

_WORDS = ["a", "dog", "cat", "sleeps", "runs", "far", "home", "##s", "."]
_PAIRS = [("a dog sleeps .", "a cat runs home ."), ("a cat sleeps far far far", "dogs"), ("far", "a .")]
_MAX_LENGTH = 12
# Their ends are cut, in the first text, in the second, and in both.
_LONG_PAIRS = [("a dog " * 9, "a cat"), ("far", "home runs a cat . " * 4), ("dog . " * 8, "runs far " * 8)]


def _checkpoint(folder: Path, task: Task) -> Path:
    torch.manual_seed(3)
    labels = dict(enumerate(task.labels or ("score",)))
    config = tiny_config(
        num_layers=2,
        vocab_size=5 + len(_WORDS),
        initializer_range=1.0,
        id2label=labels,
        label2id={label: position for position, label in labels.items()},
        problem_type="regression" if task.is_regression else "single_label_classification",
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    vocabulary = folder.parent / "vocab.txt"
    vocabulary.write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS]), encoding="utf-8"
    )
    BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(folder)
    return folder


def _run(workspace: Path, fingerprint: str, seed: str = "42") -> str:
    return finished(workspace, fingerprint, tags={"task": "RTE", "seed": seed, "fingerprint": fingerprint})


def _log(store: Store, run_id: str, folder: Path, name: str) -> str:
    return log_model(
        store,
        run_id,
        folder,
        name=name,
        task=GLUE_TASKS["RTE"],
        max_length=_MAX_LENGTH,
        examples=_PAIRS,
    )


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
def logged(workspace: Path, store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = _checkpoint(tmp_path_factory.mktemp("rte") / "checkpoint", GLUE_TASKS["RTE"])
    return folder, _log(store, _run(workspace, "m-rte"), folder, "pkd-RTE-pkd-skip-2l")


def test_the_newest_model_of_a_name_predicts_what_transformers_predicts(
    workspace: Path, store: Store, logged: tuple[Path, str]
) -> None:
    folder, address = logged
    version = store.client.get_model_version_by_alias("pkd-RTE-pkd-skip-2l", "newest")
    served = mlflow.pyfunc.load_model(version.source)
    # More rows than one batch of the served model holds.
    texts = (_PAIRS + _LONG_PAIRS) * 20
    answers = served.predict(pd.DataFrame(texts, columns=["text_a", "text_b"]))

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
    assert store.client.get_logged_model(address.removeprefix("models:/")).artifact_location == version.source
    assert version.tags["seed"] == "42"
    assert served.predict(pd.DataFrame({"text_a": [], "text_b": []}, dtype=str)).empty


def test_the_model_is_loaded_and_served_where_pkd_is_not_installed(
    workspace: Path, store: Store, logged: tuple[Path, str], tmp_path: Path
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
model = mlflow.pyfunc.load_model("models:/pkd-RTE-pkd-skip-2l@newest")
answers = model.predict(pd.DataFrame({"text_a": [sys.argv[2]], "text_b": [sys.argv[3]]}))
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
    workspace: Path, store: Store, logged: tuple[Path, str]
) -> None:
    folder, address = logged
    run_id = store.client.get_model_version_by_alias("pkd-RTE-pkd-skip-2l", "newest").run_id
    assert _log(store, run_id, folder, "pkd-RTE-pkd-skip-2l") == address
    assert len(store.client.search_model_versions("name = 'pkd-RTE-pkd-skip-2l'")) == 1


def test_each_further_model_of_a_name_is_its_newest_version(
    workspace: Path, store: Store, tmp_path: Path
) -> None:
    name = "pkd-RTE-finetune-2l"
    folder = _checkpoint(tmp_path / "checkpoint", GLUE_TASKS["RTE"])
    runs = [_run(workspace, f"m-version-{number}", seed=str(number)) for number in (1, 2)]
    addresses = [_log(store, run_id, folder, name) for run_id in runs]
    # The first run's model is complete, and does not become the newest again.
    assert _log(store, runs[0], folder, name) == addresses[0]

    newest = store.client.get_model_version_by_alias(name, "newest")
    assert (int(newest.version), newest.run_id, newest.tags["seed"]) == (2, runs[1], "2")
    versions = store.client.search_model_versions(f"name = '{name}'")
    assert {int(version.version): version.run_id for version in versions} == {1: runs[0], 2: runs[1]}
    model = store.client.get_logged_model(addresses[1].removeprefix("models:/"))
    assert model.artifact_location == newest.source
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": name, "version": "2"}]


def test_a_model_that_the_store_does_not_accept_is_not_registered_and_is_logged_by_the_next_run(
    workspace: Path, store: Store, tmp_path: Path
) -> None:
    folder = _checkpoint(tmp_path / "checkpoint", GLUE_TASKS["RTE"])
    run_id = _run(workspace, "m-full")
    models = workspace / "artifacts" / "mlflow-files" / "models"
    models.parent.mkdir(exist_ok=True)
    if models.exists():
        models.rename(models.with_name("models-before"))
    models.write_bytes(b"in the way")

    with pytest.raises(
        StoreError, match=r"MLflow needs to log pkd-RTE-full, .*; check the store and run again"
    ):
        _log(store, run_id, folder, "pkd-RTE-full")
    models.unlink()
    if models.with_name("models-before").exists():
        models.with_name("models-before").rename(models)

    assert store.client.search_registered_models("name = 'pkd-RTE-full'") == []
    (model,) = store.client.search_logged_models([store.experiment_id], "name = 'pkd-RTE-full'")
    assert model.status == "FAILED"
    address = _log(store, run_id, folder, "pkd-RTE-full")
    model = store.client.get_logged_model(address.removeprefix("models:/"))
    assert model.status == "READY"
    assert store.client.get_model_version_by_alias("pkd-RTE-full", "newest").source == model.artifact_location


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
    folder = _checkpoint(tmp_path / "checkpoint", GLUE_TASKS[task])
    run_id = _run(workspace, f"m-{task}")
    capfd.readouterr()

    address = log_model(
        store,
        run_id,
        folder,
        name=f"pkd-{task}-kd-2l",
        task=GLUE_TASKS[task],
        max_length=_MAX_LENGTH,
        examples=[texts],
    )

    assert capfd.readouterr() == ("", "")
    location = store.client.get_logged_model(address.removeprefix("models:/")).artifact_location
    model = mlflow.pyfunc.load_model(location)
    assert model.metadata.signature.outputs.input_names() == columns
    names = ["text"] if len(texts) == 1 else ["text_a", "text_b"]
    assert model.metadata.signature.inputs.input_names() == names
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
