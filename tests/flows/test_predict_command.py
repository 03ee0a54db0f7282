"""`pkd predict`: from a name, a folder or MLflow's address to labels, and one sentence for every mistake."""

import io
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run_pkd, tree
from tiny import QUICK_SETTINGS, write_tiny_glue, write_tiny_model, write_tiny_task

from flows.best import describe_best
from flows.latest_report import latest_report, record_latest
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.data.token_table import TokenTable
from pkd_core.errors import StoreError
from pkd_core.evaluation.predict import predict
from pkd_core.evaluation.predict_texts import BertTextModel
from pkd_core.evaluation.text_answers import answer
from pkd_core.model.loading import load_classifier
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan
from pkd_core.pipeline.trained import ReportedModel, best_of, find_trained, reported_models

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a report on two tasks: Tiny has one text, RTE two."""
    root = tmp_path_factory.mktemp("trained models")
    write_tiny_model(root / "model")
    write_tiny_task(root / "data_raw")
    write_tiny_glue(root / "data_raw", num_rows=12)
    run = build_run_config(
        tasks=["Tiny", "RTE"],
        methods=["finetune", "kd"],
        student_layers=[1],
        model=str(root / "model"),
        settings=QUICK_SETTINGS,
    )
    records = run_plan(make_plan(run, root), RunOptions(device="cpu"))
    record_latest(root, records["reports/report"])
    return root


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def rows(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.splitlines()]


def models(root: Path) -> dict[str, ReportedModel]:
    report = latest_report(root)
    assert report is not None
    return {model.key: model for model in reported_models(root, report)}


def answers_to(folder: Path, texts: list[tuple[str, ...]], max_length: int) -> list[tuple[str, float]]:
    return [next(iter(one.labels.items())) for one in answer(BertTextModel(folder, max_length, CPU), texts)]


def test_a_report_names_the_models_that_it_compares(here: Path) -> None:
    found = models(here)
    assert list(found) == [
        f"{task}/{stage}" for task in ("Tiny", "RTE") for stage in ("teacher", "finetune-1l-s42", "kd-1l-s42")
    ]
    for key, model in found.items():
        (evaluation,) = here.glob(f"artifacts/{key.replace('/', '/evaluation-')}-*/evaluation.json")
        assert model.score == json.loads(evaluation.read_text())["scores"][model.selection]
        assert model.folder.name.rpartition("-")[0] == key.partition("/")[2]


def test_the_best_has_the_highest_score_and_of_equals_fewer_layers() -> None:
    def model(stage: str, num_layers: int, score: float) -> ReportedModel:
        return ReportedModel(
            f"RTE/{stage}", num_layers, "dev/accuracy", score, Path(stage), Path("evaluation")
        )

    teacher, deep = model("teacher", 12, 0.9), model("kd-6l-s1", 6, 0.7)
    shallow, low = model("kd-3l-s1", 3, 0.7), model("kd-3l-s2", 3, 0.6)
    assert best_of([teacher, deep, low]) is deep
    assert best_of([teacher, deep, low, shallow]) is shallow
    assert best_of([teacher]) is teacher


def test_a_text_is_predicted_as_the_evaluation_predicts_it(here: Path) -> None:
    folder = models(here)["RTE/kd-1l-s42"].folder
    lines = (here / "data_raw" / "RTE" / "dev.tsv").read_text().splitlines()[1:]
    texts = [(fields[1], fields[2]) for fields in (line.split("\t") for line in lines)]
    (tokens,) = here.glob("data_feat/RTE/tokens-*")
    _, logits = predict(load_classifier(folder), TokenTable.load(tokens, "dev"), CPU)
    expected = torch.from_numpy(logits).softmax(dim=1).max(dim=1)
    answers = answers_to(folder, texts, QUICK_SETTINGS["tokens.max_length"])
    np.testing.assert_allclose([value for _, value in answers], expected.values, atol=1e-5)
    assert [label for label, _ in answers] == [
        ("entailment", "not_entailment")[position] for position in expected.indices.tolist()
    ]


@pytest.mark.parametrize(
    "name", ["Tiny", "Tiny/1l", "Tiny/kd", "Tiny/kd-1l", "Tiny/kd-1l-s42", "Tiny/teacher"]
)
def test_a_name_may_be_as_short_as_is_enough(
    name: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("predict", name, "a good film", "a bad play") == 0
    header, *answers = rows(capfd.readouterr().out)
    assert header == ["sentence", "label", "probability"]
    assert [answer[0] for answer in answers] == ["a good film", "a bad play"]
    found = models(here)
    students = [found["Tiny/finetune-1l-s42"], found["Tiny/kd-1l-s42"]]
    model = best_of(students) if name in ("Tiny", "Tiny/1l") else None
    model = model or found[name if name == "Tiny/teacher" else "Tiny/kd-1l-s42"]
    expected = answers_to(model.folder, [("a good film",), ("a bad play",)], 16)
    assert [answer[1:] for answer in answers] == [[label, f"{value:.4f}"] for label, value in expected]


def test_a_folder_of_any_workspace_is_predicted_as_its_task_says(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = models(trained)["RTE/kd-1l-s42"].folder
    assert run_pkd("predict", str(folder), "a film", "the film", "a play", "a song") == 0
    header, *answers = rows(capfd.readouterr().out)
    assert header == ["sentence1", "sentence2", "label", "probability"]
    assert [answer[:2] for answer in answers] == [["a film", "the film"], ["a play", "a song"]]
    assert list(tmp_path.iterdir()) == []


def test_a_file_keeps_its_columns_and_the_answers_go_to_another(
    here: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = here / "data_raw" / "Tiny" / "dev.tsv"
    output = tmp_path / "out.tsv"
    assert run_pkd("predict", "Tiny", "--file", str(given), "--output", str(output)) == 0
    assert capfd.readouterr().out == f"wrote {output}: 24 predictions\n"
    written, original = rows(output.read_text()), rows(given.read_text())
    assert [row[:2] for row in written] == original
    assert written[0][2:] == ["predicted_label", "predicted_probability"]
    right = [row[1] == row[2] for row in written[1:]]
    assert sum(right) / len(right) == pytest.approx(best_of(list(models(here).values())[:3]).score)


def test_on_a_terminal_the_answers_are_a_table_of_its_width(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    text = "a good film was a very fine play , and not a poor book"
    assert run_pkd("predict", "Tiny", text) == 0
    header, *lines = re.sub("\x1b\\[[0-9;]*m", "", capfd.readouterr().out).splitlines()
    assert header.split() == ["sentence", "label", "probability"]
    assert max(map(len, lines)) <= 50
    (answer,) = re.findall(r" +(?:up|down) +0\.\d{4} *$", "\n".join(lines), re.MULTILINE)
    assert "\n".join(lines).replace(answer, "").split() == text.split()


def test_json_lines_have_the_complete_number(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("predict", "Tiny", "--json", "a good film") == 0
    (line,) = capfd.readouterr().out.splitlines()
    answer = json.loads(line)
    assert list(answer) == ["sentence", "label", "probability"]
    assert 0.5 <= answer["probability"] <= 1


def test_lines_of_standard_input_are_texts(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"a film\tthe film\na play\ta song\n"))
    monkeypatch.setattr(sys, "stdin", stream)
    assert run_pkd("predict", "RTE") == 0
    assert len(rows(capfd.readouterr().out)) == 3


MISTAKES = {
    "an unknown model": (["Tinny", "x"], "there is no model 'Tinny' in ", "choose one of RTE/finetune-1l-s42, RTE/kd-"),
    "an unknown stage": (["Tiny/kd-9l", "x"], "there is no model 'Tiny/kd-9l' in ", "Tiny/teacher"),
    "a name that no path can have": (["x" * 5000, "x"], "File name too long", ""),
    "a folder without a model": (["data_raw", "x"], "data_raw: expected a model folder, found no config.json", ""),
    "half a pair": (["RTE", "x"], "expected two texts for each example (sentence1 and sentence2), got 1", ""),
    "an empty text": (["Tiny", ""], "text 1: expected a text, got an empty one", ""),
    "no such file": (["Tiny", "--file", "none.tsv"], "there is no file none.tsv", ""),
    "other columns": (["Tiny", "--file", "data_raw/RTE/dev.tsv"], "dev.tsv: expected the column 'sentence', got", ""),
    "a file and texts": (["Tiny", "x", "--file", "f"], "give either texts or --file, not both", ""),
    "columns of no file": (["Tiny", "x", "--texts", "a"], "--texts and --encoding say how a --file is read", ""),
    "no such device": (["Tiny", "x", "--device", "abacus"], "there is no device 'abacus'", ""),
    "an output that cannot be": (["Tiny", "x", "--output", "none/out"], "none/out", ""),
    "MLflow without a database": (["models:/pkd-Tiny-1l@best", "x"], "there is no MLflow database in ", "--workspace"),
    "a malformed address": (["models:/pkd-Tiny-1l", "x"], "an address such as models:/pkd-RTE-3l@best or", ""),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_no_trace(
    mistake: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, *expected = MISTAKES[mistake]
    before = tree(here)
    assert run_pkd("predict", *arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"pkd: .+\n", err)
    assert all(words in err for words in expected), err
    assert tree(here) == before


def test_a_task_s_name_does_not_mean_another_that_begins_so() -> None:
    other = ReportedModel("RTE-small/kd-3l-s1", 3, "dev/accuracy", 0.9, Path("other"), Path("evaluation"))
    own = ReportedModel("RTE/kd-3l-s1", 3, "dev/accuracy", 0.7, Path("own"), Path("evaluation"))
    for name in ("RTE", "RTE/3l", "RTE/kd", "RTE/kd-3l"):
        assert find_trained(Path("none"), name, [other, own]) == Path("own")


@pytest.mark.parametrize("content", ["", "{}", '{"rows": [{}]}', '{"rows": 7}', "["])
def test_a_report_that_cannot_be_read_is_a_sentence(content: str, here: Path, tmp_path: Path) -> None:
    report = latest_report(here)
    assert report is not None
    shutil.copytree(report, tmp_path / "report")
    (tmp_path / "report" / "report.json").write_text(content)
    with pytest.raises(StoreError, match="report cannot be read; run again to write a new one"):
        reported_models(here, tmp_path / "report")


def test_a_damaged_model_is_not_used(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = models(here)["Tiny/kd-1l-s42"].folder / "model.safetensors"
    weights = path.read_bytes()
    path.write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    try:
        assert run_pkd("predict", "Tiny/kd", "a film") == 2
    finally:
        path.write_bytes(weights)
    assert "is damaged: model.safetensors has other bytes than were published" in capfd.readouterr().err


def test_a_model_that_was_trained_twice_and_is_in_no_report_needs_its_folder(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for fingerprint in ("a" * 16, "b" * 16):
        (tmp_path / "artifacts" / "Tiny" / f"kd-1l-s42-{fingerprint}").mkdir(parents=True)
    assert run_pkd("predict", "Tiny/kd-1l-s42", "x", "--workspace", str(tmp_path)) == 2
    err = capfd.readouterr().err
    assert "several times" in err
    assert f"artifacts/Tiny/kd-1l-s42-{'a' * 16}, artifacts/Tiny/kd-1l-s42-{'b' * 16}" in err


def test_the_last_lines_of_a_report_work_as_they_are_pasted(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained.parent)
    assert run_pkd("report", "--workspace", trained.name) == 0
    lines = capfd.readouterr().out.split("(and report.md, report.json, report.png)\n", 1)[1].splitlines()
    best = [
        best_of([one for one in models(trained).values() if one.task == task]) for task in ("Tiny", "RTE")
    ]
    assert lines[1:3] == [
        f"best on dev: {one.key}, accuracy {100 * one.score:.1f}, {one.folder.relative_to(trained.parent)}"
        for one in best
    ]
    program, *arguments = shlex.split(lines[4])
    assert (program, arguments[0]) == ("pkd", "predict")
    assert run_pkd(*arguments) == 0
    header, answer = rows(capfd.readouterr().out)
    assert (header[0], answer[0]) == ("sentence", "some text")
    snippet = "\n".join(lines[lines.index("or in Python:") + 1 :])
    exec(compile(snippet, "report", "exec"), {})
    out = capfd.readouterr().out
    assert f"'label': '{answer[1]}'" in out
    assert float(re.findall(r"'score': ([\d.]+)", out)[0]) == pytest.approx(float(answer[2]), abs=1e-4)


def test_a_task_of_pairs_is_shown_with_two_texts(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = latest_report(Path())
    assert report is not None
    monkeypatch.setattr(
        "flows.best.reported_models",
        lambda *_: [one for one in models(Path()).values() if one.task == "RTE"],
    )
    lines = describe_best(Path(), report).splitlines()
    assert lines[3].endswith(' "some text" "another text"')
    assert "--workspace" not in lines[3]
    assert lines[-1] == (
        "print(classify({'text': 'some text', 'text_pair': 'another text'}, truncation=True, max_length=16))"
    )
