"""`pkd submit`: a run of RTE alone, completed with the most frequent labels, becomes a zip that the server takes."""

import zipfile
from pathlib import Path

import pytest
from command import run_pkd
from tiny import QUICK_SETTINGS, write_tiny_glue, write_tiny_model

from flows.latest_report import record_latest
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.task import Split, Task
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan

NUM_TEST = 5


def write_split(data_raw: Path, task: Task, split: Split) -> None:
    """Write a few lines of a split with the columns that GLUE's files have."""
    path = data_raw / split.file
    path.parent.mkdir(parents=True, exist_ok=True)
    if split.header:
        columns = [column for column in (split.index, *split.texts, split.label) if column is not None]
        lines = ["\t".join(map(str, columns))]
    else:  # CoLA: source, label, mark, sentence
        columns, lines = [0, 1, 2, 3], []
    answers = task.labels or ("1.0", "4.0")
    for number in range(NUM_TEST):
        values = {split.index: str(number), split.label: answers[number % 2 and -1]}
        lines.append("\t".join(values.get(column, f"text {number} {column}") for column in columns))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("submitted")
    write_tiny_glue(root / "data_raw")
    for task in GLUE_TASKS.values():
        for split in task.splits:
            if not (root / "data_raw" / split.file).exists():
                write_split(root / "data_raw", task, split)
    write_tiny_model(root / "model")
    run = build_run_config(
        tasks=["RTE"], methods=["finetune"], seeds=[1], model=str(root / "model"),
        settings={key: value for key, value in QUICK_SETTINGS.items() if not key.startswith("distill")},
    )  # fmt: skip
    records = run_plan(make_plan(run, root, device="cpu"), RunOptions(device="cpu"))
    record_latest(root, records["reports/report"])
    return root


def test_a_report_without_some_tasks_is_not_enough(
    workspace: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "submission.zip"
    assert run_pkd("submit", "--workspace", str(workspace), "--output", str(output)) == 2
    missing = [name for name in GLUE_TASKS if name != "RTE"]
    assert f"has no such model of {', '.join(missing)}; run them" in capfd.readouterr().err
    assert not output.exists()


def test_with_the_most_frequent_labels_the_zip_is_complete(
    workspace: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "submission.zip"
    assert run_pkd("submit", "--workspace", str(workspace), "--output", str(output), "--fill") == 0
    out = capfd.readouterr().out
    assert "RTE.tsv     RTE/finetune-2l-s1" in out
    assert out.count("the most frequent label") == 10
    with zipfile.ZipFile(output) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert len(texts) == 11
    for name, text in texts.items():
        header, *lines = text.splitlines()
        assert header == "index\tprediction", name
        assert [line.split("\t")[0] for line in lines] == [str(number) for number in range(NUM_TEST)], name
    (published,) = workspace.glob("artifacts/RTE/evaluation-finetune-2l-s1-*/submission/RTE.tsv")
    assert texts["RTE.tsv"] == published.read_text(encoding="utf-8")


def test_a_method_is_chosen_and_its_absence_named(
    workspace: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "submission.zip"
    words = ("submit", "--workspace", str(workspace), "--output", str(output), "--fill", "--method")
    assert run_pkd(*words, "teacher") == 0
    assert "RTE.tsv     RTE/teacher" in capfd.readouterr().out
    assert run_pkd(*words, "kd") == 2
    assert "the latest report has no model of kd" in capfd.readouterr().err


def test_damaged_predictions_are_not_submitted(
    workspace: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (path,) = workspace.glob("artifacts/RTE/evaluation-finetune-2l-s1-*/submission/RTE.tsv")
    before = path.read_bytes()
    path.write_bytes(before.replace(b"entailment", b"Entailment", 1))
    output = tmp_path / "submission.zip"
    assert run_pkd("submit", "--workspace", str(workspace), "--output", str(output), "--fill") == 2
    assert "submission/RTE.tsv has other bytes than were published" in capfd.readouterr().err
    assert not output.exists()
    path.write_bytes(before)
