"""`pkd predict` with exported models: found by their paths, answered without torch."""

import io
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from command import run_pkd
from tiny_bundle import expected_logits, write_tiny_bundle

TEXTS = ["good film", "bad play bad", "film"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answers(capfd: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert run_pkd("predict", *arguments, "--json") == 0, capfd.readouterr().err
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def probability(text: str, scale: float = 1.0) -> float:
    logits = np.exp(expected_logits(text, scale))
    return float(max(logits / logits.sum()))


def test_a_bundle_answers_with_its_own_labels_and_columns(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_tiny_bundle(here / "bundle")
    found = answers(capfd, "bundle", *TEXTS)
    assert [row["sentence"] for row in found] == TEXTS
    assert [row["label"] for row in found[:2]] == ["up", "down"]
    assert [row["probability"] for row in found] == pytest.approx([probability(text) for text in TEXTS])


def test_int8_is_used_where_it_is_and_float32_by_its_name(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_tiny_bundle(here / "out" / "bundle", files=("model.onnx", "model.int8.onnx"))
    (in_int8,) = answers(capfd, "out/bundle", TEXTS[0])
    (in_float32,) = answers(capfd, "out/bundle/model.onnx", TEXTS[0])
    assert in_int8["probability"] == pytest.approx(probability(TEXTS[0], scale=2.0))
    assert in_float32["probability"] == pytest.approx(probability(TEXTS[0], scale=1.0))
    (of_the_whole,) = answers(capfd, "out", TEXTS[0])
    assert of_the_whole == in_int8


def test_pairs_several_labels_and_scores(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_tiny_bundle(here / "pairs", columns=("premise", "hypothesis"))
    (pair,) = answers(capfd, "pairs", "good film", "bad bad")
    assert list(pair) == ["premise", "hypothesis", "label", "probability"]
    assert pair["probability"] == pytest.approx(probability("good film bad bad"))
    write_tiny_bundle(here / "several", kind="multi-label")
    both, one = answers(capfd, "several", "film", "good")
    assert [row["labels"] for row in (both, one)] == [["down", "up"], ["up"]]
    assert one["probabilities"] == pytest.approx(
        {"down": 1 / (1 + np.exp(1.0)), "up": 1 / (1 + np.exp(-1.0))}
    )
    write_tiny_bundle(here / "score", kind="regression", labels=("score",))
    assert [row["score"] for row in answers(capfd, "score", "good film", "bad")] == pytest.approx([-1.0, 1.5])


def test_a_bundle_is_answered_without_torch(here: Path) -> None:
    write_tiny_bundle(here / "bundle")
    code = """
import sys
from flows.cli.app import main
try:
    main(["predict", "bundle", "good film", "bad film"])
except SystemExit as error:
    assert error.code == 0
heavy = {"torch", "transformers", "prefect", "mlflow", "pandas", "sklearn", "scipy", "matplotlib"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.splitlines()[1].startswith("good film\tup\t")


def test_output_that_nobody_reads_ends_quietly(here: Path) -> None:
    write_tiny_bundle(here / "bundle")
    Path("lines.txt").write_text("good film\n" * 20_000)
    line = f"{sys.executable} -m flows.cli predict bundle < lines.txt | head -2"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[0] == "sentence\tlabel\tprobability"
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""


COMMANDS = {
    "pkd": [sys.executable, "-m", "flows.cli", "predict", "bundle", "-", "--json"],
    "the bundle": [sys.executable, "bundle/predict.py", "--json"],
}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_line_of_a_stream_is_answered_before_the_next_one_comes(name: str, here: Path) -> None:
    write_tiny_bundle(here / "bundle")
    with subprocess.Popen(
        COMMANDS[name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        # Without an answer it ends, and so does the test.
        limit = threading.Timer(60, process.kill)
        limit.start()
        assert process.stdin and process.stdout
        for text in ("good film", "bad play bad", "bad"):
            process.stdin.write(text + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline() or "{}")
            assert answer.get("probability") == pytest.approx(probability(text))
        process.stdin.write("good")  # the end of a stream ends its last line
        process.stdin.close()
        assert json.loads(process.stdout.readline())["label"] == "up"
        assert process.stdout.read() == ""
        limit.cancel()
    assert process.returncode == 0


LONG = ["good " * (number % 7) + "film bad" for number in range(5000)]


def test_a_long_stream_is_answered_in_its_order(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_bundle(here / "bundle")
    given = "\n".join(LONG)
    done = subprocess.run(
        COMMANDS["the bundle"], input=given, capture_output=True, text=True, check=True, timeout=60
    )
    expected = pytest.approx([probability(text) for text in LONG])
    assert [json.loads(line)["probability"] for line in done.stdout.splitlines()] == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    assert [row["probability"] for row in answers(capfd, "bundle")] == expected


def test_a_stream_is_shown_as_lines_on_a_terminal_too(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_bundle(here / "bundle")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"good\nfilm\n")))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run_pkd("predict", "bundle") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines == ["sentence\tlabel\tprobability", "good\tup\t0.8808", "film\tdown\t0.5000"]


def test_what_is_missing_or_damaged_is_a_sentence(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        assert run_pkd("predict", *arguments) == 2
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        return err

    write_tiny_bundle(here / "bundle")
    shutil.copytree("bundle", "whole")
    (here / "bundle" / "model.onnx").write_bytes(b"no model")
    assert "model.onnx: expected an ONNX model" in refused("bundle", "a")
    (here / "bundle" / "model.onnx").unlink()
    assert "bundle: expected a complete bundle, got" in refused("bundle", "a")
    (here / "bundle" / "bundle.json").write_text("[]")
    assert "bundle.json: expected a readable JSON object" in refused("bundle", "a")
    (here / "bundle" / "bundle.json").write_text('{"text_columns": 3}')
    assert "bundle.json: expected text_columns and max_length" in refused("bundle", "a")
    assert "whole/other.onnx'" in refused("whole/other.onnx", "a")
    assert "text 1: expected a text, got an empty one" in refused("whole", "")
