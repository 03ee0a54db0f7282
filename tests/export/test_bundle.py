"""An exported classifier answers as torch does, from a folder that needs neither torch nor pkd."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import write_tiny_model
from tiny_bert import TASK
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pkd_core.export.bundle import Bundle, export_bundle
from pkd_core.export.bundle_predict import FLOAT32, INT8, Model
from pkd_core.export.onnx_files import BERT_INPUTS, quantize
from pkd_core.model.loading import build_classifier, save_classifier

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["good film", "the play was very very bad", "not a fine song", "book", "bad " * 40]
MAX_LENGTH = 16


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of "no" and "yes" with clear answers, whose tokenizer.json says "pad to 128" as MiniLM's does."""
    folder = tmp_path_factory.mktemp("classifier")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        write_tiny_model(folder, num_layers=2)
    model = build_classifier(folder, TASK, seed=1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(8)  # else all texts get nearly the same logits
    save_classifier(model, folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(128)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def bundle(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    export_bundle(classifier, folder, Bundle.of(TASK, MAX_LENGTH), BERT_INPUTS)
    quantize(folder)
    return folder


@pytest.fixture
def copied(bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundle, tmp_path / "copied")


def torch_logits(folder: Path) -> np.ndarray:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    encoded = tokenizer(TEXTS, truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits: np.ndarray = model(**encoded).logits.numpy()
    return logits


def change_settings(bundle: Path, **changes: object) -> Model:
    path = bundle / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return Model(bundle)


def run_predict(bundle: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a bundle's program in another folder than the clone, with nothing of it on the path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(bundle / "predict.py"), *arguments]
    return subprocess.run(
        command, cwd=bundle, env=environment, input=given, capture_output=True, text=True, check=False
    )


def test_float32_gives_torchs_logits_alone_and_in_batches(classifier: Path, bundle: Path) -> None:
    expected = torch_logits(classifier)
    assert np.ptp(expected[:, 0]) > 0.1
    model = Model(bundle, FLOAT32)
    np.testing.assert_allclose(model.logits(TEXTS, batch_size=1), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.logits(TEXTS, batch_size=3), expected, rtol=0, atol=1e-5)
    assert model.logits([]).shape == (0, 2)


def test_int8_is_smaller_close_and_the_default(classifier: Path, bundle: Path) -> None:
    assert (bundle / INT8).stat().st_size < 0.75 * (bundle / FLOAT32).stat().st_size
    found = Model(bundle).logits(TEXTS)
    np.testing.assert_allclose(found, torch_logits(classifier), rtol=0, atol=0.1)
    assert (found == Model(bundle, INT8).logits(TEXTS)).all()
    assert (found != Model(bundle, FLOAT32).logits(TEXTS)).any()


def test_the_bundles_tokenizer_pads_nothing_and_truncates_at_the_trained_length(bundle: Path) -> None:
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    assert tokenizer.encode("good film").tokens == ["[CLS]", "good", "film", "[SEP]"]
    assert len(tokenizer.encode(TEXTS[-1]).ids) == MAX_LENGTH


def test_the_files_hold_no_path_of_the_exporting_machine(bundle: Path) -> None:
    for name in (FLOAT32, INT8):
        content = (bundle / name).read_bytes()
        for part in ("site-packages", ".py", str(ROOT), str(bundle)):
            assert part.encode() not in content


def test_an_answer_of_classes_has_the_label_its_probability_and_all_others(
    classifier: Path, bundle: Path
) -> None:
    expected = torch.from_numpy(torch_logits(classifier)).softmax(dim=1)
    answers = Model(bundle, FLOAT32).predict(TEXTS)
    for answer, row in zip(answers, expected.tolist(), strict=True):
        assert answer["label"] == ("no", "yes")[row[1] > row[0]]
        assert answer["probability"] == pytest.approx(max(row), abs=1e-5)
        assert answer["probabilities"] == pytest.approx({"no": row[0], "yes": row[1]}, abs=1e-5)


def test_an_answer_of_several_labels_has_those_of_at_least_one_half(copied: Path) -> None:
    model = change_settings(copied, kind="multi-label")
    (first, *_), (logits, *_) = model.predict(TEXTS), model.logits(TEXTS)
    expected = {label: 1 / (1 + np.exp(-x)) for label, x in zip(("no", "yes"), logits.tolist(), strict=True)}
    assert first["probabilities"] == pytest.approx(expected)
    assert first["labels"] == [label for label, probability in expected.items() if probability >= 0.5]


def test_an_answer_of_a_regression_is_the_score(copied: Path) -> None:
    model = change_settings(copied, kind="regression")
    assert model.predict(TEXTS) == [{"score": pytest.approx(score)} for score in model.logits(TEXTS)[:, 0]]


def test_two_texts_are_told_apart(copied: Path) -> None:
    model = change_settings(copied, text_columns=["first", "second"])
    pairs = model.logits([("good film", "bad song"), ("bad song", "good film"), ["good film", "bad song"]])
    assert (pairs[0] == pairs[2]).all()
    assert abs(pairs[0] - pairs[1]).max() > 1e-3
    with pytest.raises(TypeError, match=r"expected two texts \(first and second\)"):
        model.logits(["good film"])


def test_wrong_texts_are_named(bundle: Path) -> None:
    model = Model(bundle)
    with pytest.raises(TypeError, match="expected a list of texts, got one text: 'good film'"):
        model.predict("good film")
    with pytest.raises(TypeError, match=r"expected a text for each answer, got \(None,\)"):
        model.predict([(None,)])  # type: ignore[list-item]


def test_the_program_prints_label_and_probability_for_arguments_and_lines(bundle: Path) -> None:
    (first, second) = Model(bundle).predict(TEXTS[:2])
    expected = "".join(f"{one['label']}\t{one['probability']:.4f}\n" for one in (first, second))
    given = run_predict(bundle, *TEXTS[:2])
    assert (given.stdout, given.stderr, given.returncode) == (expected, "", 0)
    lines = run_predict(bundle, "--json", "--file", INT8, given="\n".join(TEXTS[:2]))
    assert [json.loads(line) for line in lines.stdout.splitlines()] == [first, second]


@pytest.mark.parametrize(
    ("arguments", "given", "sentence"),
    [
        ((" ",), "", "text 1: expected a text, got an empty one"),
        ((), "good\n\n", "line 2: expected a text, got an empty one"),
        (("good\tbad",), "", "text 1: expected one text, got 2"),
    ],
)
def test_the_program_names_wrong_texts(
    bundle: Path, arguments: tuple[str, ...], given: str, sentence: str
) -> None:
    ended = run_predict(bundle, *arguments, given=given)
    assert (ended.stdout, ended.returncode) == ("", 2)
    assert ended.stderr.startswith(f"predict.py: {sentence}")
    assert len(ended.stderr.splitlines()) == 1


def test_the_program_imports_neither_torch_nor_transformers_nor_pkd(bundle: Path) -> None:
    script = (
        "import sys; from predict import Model; Model('.').predict(['good film']);"
        "print({name.partition('.')[0] for name in sys.modules} & {'torch', 'transformers', 'pkd_core'})"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=bundle,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


def test_a_damaged_or_incomplete_bundle_says_so(copied: Path) -> None:
    (copied / INT8).write_bytes((copied / INT8).read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"model\.int8\.onnx: expected an ONNX model, got"):
        Model(copied)
    (copied / INT8).unlink()
    with pytest.raises(OSError, match=r"model\.int8\.onnx: expected an ONNX model, got no such file"):
        Model(copied, INT8)
    (copied / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"tokenizer\.json: expected a tokenizer"):
        Model(copied, FLOAT32)
