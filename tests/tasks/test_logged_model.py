"""The logged model answers as its checkpoint does, without pkd, and is found by its name."""

import json
import subprocess
import sys
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from tiny_bert import tiny_config
from transformers import AutoTokenizer, BertForSequenceClassification, BertTokenizerFast

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.task import Task
from pkd_core.errors import ModelError
from tasks import logged_model
from tasks.logged_model import log_model
from tasks.mlflow_store import Store, tracking_uri
from tasks.tracking import tracked_run

_WORDS = ["a", "dog", "cat", "sleeps", "runs", "far", "home", "##s", "."]
_PAIRS = [("a dog sleeps .", "a cat runs home ."), ("a cat sleeps far far far", "dogs"), ("far", "a .")]


def _checkpoint(folder: Path, task: Task) -> Path:
    torch.manual_seed(7)
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


def _run(workspace: Path, fingerprint: str) -> str:
    tags = {"task": "RTE", "seed": "42", "fingerprint": fingerprint}
    with tracked_run(workspace, name="rte/pkd-skip-2l", tags=tags, params={}, datasets={}) as run:
        pass
    return run.run_id


def _probabilities(folder: Path, pairs: list[tuple[str, str]], max_length: int) -> np.ndarray:
    """Answer one pair at a time: no padding, no batches."""
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
    address = log_model(
        workspace,
        _run(workspace, "m-rte"),
        folder,
        name="pkd-RTE-pkd-skip-2l",
        task=GLUE_TASKS["RTE"],
        max_length=12,
        examples=_PAIRS,
    )
    return folder, address


def test_the_newest_model_of_a_name_answers_pairs_as_transformers_does(
    workspace: Path, store: Store, logged: tuple[Path, str]
) -> None:
    folder, address = logged
    version = store.client.get_model_version_by_alias("pkd-RTE-pkd-skip-2l", "newest")
    served = mlflow.pyfunc.load_model(version.source)
    # More rows than one batch of the served model holds.
    texts = _PAIRS * 30
    answers = served.predict(pd.DataFrame(texts, columns=["text_a", "text_b"]))

    expected = _probabilities(folder, texts, max_length=12)
    assert list(answers.columns) == ["label", "probability_entailment", "probability_not_entailment"]
    np.testing.assert_allclose(answers.iloc[:, 1:].to_numpy(), expected, atol=1e-5)
    assert [("entailment", "not_entailment")[row] for row in expected.argmax(axis=1)] == list(
        answers["label"]
    )
    assert len(set(map(tuple, expected.round(3)))) == len(_PAIRS), "the examples must tell answers apart"
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
    asked = []

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pkd_core", "tasks", "flows"):
            self.asked.append(name)
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
os.environ.update(HF_HUB_OFFLINE="1", MLFLOW_DISABLE_TELEMETRY="true")
import mlflow.pyfunc
import pandas as pd

mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/pkd-RTE-pkd-skip-2l@newest")
answers = model.predict(pd.DataFrame({"text_a": [sys.argv[2]], "text_b": [sys.argv[3]]}))
json.dump({"asked": Absent.asked, "row": answers.iloc[0, 1:].tolist()}, sys.stdout)
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
    assert answer["asked"] == []
    np.testing.assert_allclose(answer["row"], _probabilities(folder, _PAIRS[:1], max_length=12)[0], atol=1e-5)


def test_logging_a_run_s_model_again_changes_nothing(
    workspace: Path, store: Store, logged: tuple[Path, str]
) -> None:
    folder, address = logged
    run_id = store.client.get_model_version_by_alias("pkd-RTE-pkd-skip-2l", "newest").run_id

    again = log_model(
        workspace,
        run_id,
        folder,
        name="pkd-RTE-pkd-skip-2l",
        task=GLUE_TASKS["RTE"],
        max_length=12,
        examples=_PAIRS,
    )

    assert again == address
    assert len(store.client.search_model_versions("name = 'pkd-RTE-pkd-skip-2l'")) == 1


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
        workspace,
        run_id,
        folder,
        name=f"pkd-{task}-kd-2l",
        task=GLUE_TASKS[task],
        max_length=12,
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


def test_a_model_that_answers_otherwise_than_its_checkpoint_is_not_registered(
    workspace: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Path(logged_model._SERVED_CODE).read_text(encoding="utf-8")
    broken = tmp_path / "served_model.py"
    broken.write_text(
        served.replace('max_length = context.model_config["max_length"]', "max_length = 5"), "utf-8"
    )
    assert broken.read_text(encoding="utf-8") != served
    monkeypatch.setattr(logged_model, "_SERVED_CODE", broken)
    run_id = _run(workspace, "m-broken")

    with pytest.raises(ModelError, match="must answer as the checkpoint"):
        log_model(
            workspace,
            run_id,
            _checkpoint(tmp_path / "checkpoint", GLUE_TASKS["RTE"]),
            name="pkd-RTE-broken",
            task=GLUE_TASKS["RTE"],
            max_length=12,
            examples=_PAIRS,
        )

    assert store.client.search_registered_models("name = 'pkd-RTE-broken'") == []
    assert not store.client.get_run(run_id).outputs.model_outputs
    (model,) = store.client.search_logged_models([store.experiment_id], "name = 'pkd-RTE-broken'")
    assert model.status == "FAILED"
