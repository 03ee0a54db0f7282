"""The whole pipeline on a tiny task, without Prefect: which files it leaves, and what makes which stage run again."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pytest
from datasets import load_dataset
from parsed_page import ParsedPage
from tiny import QUICK_SETTINGS, write_tiny_model, write_tiny_task
from tiny_bert import Recorder
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.cancellation import StoppedError, clear_stop_request, request_stop
from pkd_core.runtime.observer import LogObserver, Observer
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import read_manifest, write_manifest
from pkd_core.store.publishing import hash_files
from pkd_core.store.stage_store import StageStatus

STUDENTS = ("finetune-2l-s1", "kd-2l-s1", "pkd-skip-2l-s1", "pkd-last-2l-s1")


class Workspace:
    """A workspace with a plan over its one tiny task, which notes the stages that really run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[str] = []
        self.observers: dict[str, Recorder] = {}
        write_tiny_task(root / "data_raw")
        write_tiny_model(root / "model")

    def plan(self, deep: bool = False) -> Plan:
        run = build_run_config(
            tasks=["Tiny"], seeds=[1], model=str(self.root / "model"), settings=QUICK_SETTINGS
        )
        return make_plan(run, self.root, deep, device="cpu")

    def run(self, deep: bool = False) -> list[str]:
        self.ran = []
        plan = self.plan(deep)
        run_plan(plan, RunOptions(device="cpu", deep=deep), self._track)
        return self.ran

    def folder(self, key: str) -> Path:
        (stage,) = (one.stage for one in self.plan().stages if one.stage.key == key)
        return self.root / stage.address.folder

    def statuses(self, deep: bool = False) -> dict[str, tuple[StageStatus, str]]:
        return {
            one.stage.key: (one.status, one.reason)
            for one in self.plan(deep).stages
            if one.status is not StageStatus.DONE
        }

    @contextmanager
    def _track(self, stage: Stage, _inputs: Mapping[str, StageRecord], _resumes: bool) -> Iterator[Observer]:
        self.ran.append(stage.key)
        self.observers[stage.key] = Recorder()
        yield self.observers[stage.key]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    assert len(workspace.run()) == 18
    return workspace


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_each_stage_publishes_exactly_these_files(finished: Workspace) -> None:
    shards = {f"{split}-00000.parquet" for split in ("train", "dev", "test")}
    checkpoint = {
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    }
    assert names(finished.folder("Tiny/tokens")) == shards | {"manifest.json"}
    assert names(finished.folder("Tiny/teacher")) == checkpoint | {"manifest.json"}
    assert names(finished.folder("Tiny/teacher-states")) == {"states-00000.arrow", "manifest.json"}
    for student in STUDENTS:
        assert names(finished.folder(f"Tiny/{student}")) == checkpoint | {"manifest.json"}
        evaluation = finished.folder(f"Tiny/evaluation-{student}")
        assert names(evaluation) == {
            "answers-dev.parquet",
            "evaluation.json",
            "submission/Tiny.tsv",
            "manifest.json",
        }
        distances = finished.folder(f"Tiny/distances-{student}")
        assert names(distances) == {"distances.json", "manifest.json"}
    assert names(finished.folder("Tiny/speed-2l")) == {"speed.json", "manifest.json"}
    report = {f"report.{end}" for end in ("html", "md", "json", "png", "txt")} | {"manifest.json"}
    assert names(finished.folder("reports/report")) == report


def test_each_long_stage_tells_its_total_early(finished: Workspace) -> None:
    first = {key: one.progress_seen[0][::2] for key, one in finished.observers.items() if one.progress_seen}
    assert first == {
        "Tiny/tokens": (0, "examples"),
        "Tiny/teacher": (1, "steps"),
        "Tiny/teacher-states": (0, "examples"),
        "Tiny/evaluation-teacher": (0, "examples"),
        "Tiny/speed-2l": (0, "seconds at most"),
        **{f"Tiny/{student}": (1, "steps") for student in STUDENTS},
        **{f"Tiny/evaluation-{student}": (0, "examples") for student in STUDENTS},
        **{f"Tiny/distances-{student}": (0, "models") for student in STUDENTS},
    }


def test_the_reports_page_has_the_courses_of_all_losses_the_confusions_and_the_command(
    finished: Workspace,
) -> None:
    page = ParsedPage((finished.folder("reports/report") / "report.html").read_text(encoding="utf-8"))
    titles = [value for name, value in page.attributes if name == "aria-label"]
    courses = [title.partition(":")[0] for title in titles if title is not None and "by" not in title]
    assert courses == ["total loss", "L_CE", "L_DS", "L_PT", "dev accuracy × 100", "distance of [CLS] states"]
    num_losses = {"teacher": 2, "finetune": 2, "kd": 3, "pkd-skip": 4, "pkd-last": 4}
    drawn = [
        value for name, value in page.attributes if name == "class" and value and value.startswith("line m")
    ]
    num_distances = len(STUDENTS)
    num_lines = sum(num_losses.values()) + len(num_losses) + num_distances
    assert len(drawn) == num_lines + 1, "one of the lines is the legend's"
    matrices = [table for table in page.tables if table[0] == ["", "down", "up"]]
    assert len(matrices) == 5
    assert all(sum(float(cell) for row in rows for cell in row[1:]) == 24 for _, *rows in matrices)
    settings = "compute.threads=1 speed.max_seconds=0.0 student.num_epochs=1 teacher.num_epochs=1 tokens.max_length=16"
    assert f" pkd run Tiny --seeds 1 --model model {settings} " in page.text


def test_a_second_run_runs_nothing(finished: Workspace) -> None:
    assert finished.statuses(deep=True) == {}
    assert finished.run() == []


def test_outputs_open_with_transformers_datasets_and_pyarrow(finished: Workspace) -> None:
    student = finished.folder("Tiny/pkd-skip-2l-s1")
    model = AutoModelForSequenceClassification.from_pretrained(student)
    assert model.config.num_hidden_layers == 2
    assert model.config.id2label == {0: "down", 1: "up"}
    encoded = AutoTokenizer.from_pretrained(student)("the film was good", return_tensors="pt")
    assert model(**encoded).logits.shape == (1, 2)
    shard = str(finished.folder("Tiny/tokens") / "train-00000.parquet")
    assert (
        load_dataset("parquet", data_files=shard, cache_dir=str(finished.root / "cache"))["train"].num_rows
        == 48
    )
    with pa.ipc.open_file(finished.folder("Tiny/teacher-states") / "states-00000.arrow") as states:
        assert states.read_all().num_rows == 48


def test_the_report_compares_teacher_and_students(finished: Workspace) -> None:
    report_json = json.loads((finished.folder("reports/report") / "report.json").read_text(encoding="utf-8"))
    assert [group["method"] for group in report_json["groups"]] == [
        "teacher",
        "finetune",
        "kd",
        "pkd-skip",
        "pkd-last",
    ]
    teacher, *students = report_json["groups"]
    assert teacher["speed_ratio"] is None
    assert len({student["speed_ratio"] for student in students}) == 1, "all are of one depth"
    assert students[0]["speed_ratio"] > 0
    assert all(student["parameters"] < teacher["parameters"] for student in students)


def test_a_submission_has_a_prediction_for_every_line_of_the_test_file(finished: Workspace) -> None:
    lines = (finished.folder("Tiny/evaluation-kd-2l-s1") / "submission" / "Tiny.tsv").read_text().splitlines()
    assert lines[0] == "index\tprediction"
    assert [line.split("\t")[0] for line in lines[1:]] == [str(row) for row in range(6)]
    assert {line.split("\t")[1] for line in lines[1:]} <= {"down", "up"}


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished workspace, to be damaged."""
    shutil.copytree(finished.root, tmp_path / "copy")
    copy = object.__new__(Workspace)
    copy.root, copy.ran, copy.observers = tmp_path / "copy", [], {}
    assert copy.statuses() == {}
    return copy


def test_only_a_deleted_stage_is_rebuilt(workspace: Workspace) -> None:
    shutil.rmtree(workspace.folder("Tiny/teacher-states"))
    assert workspace.statuses() == {"Tiny/teacher-states": (StageStatus.MISSING, "not built yet")}
    assert workspace.run() == ["Tiny/teacher-states"]


def test_only_the_stage_of_a_truncated_shard_is_rebuilt(workspace: Workspace) -> None:
    shard = workspace.folder("Tiny/teacher-states") / "states-00000.arrow"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    ((status, reason),) = workspace.statuses().values()
    assert status is StageStatus.DAMAGED
    assert reason.startswith("states-00000.arrow has")
    assert workspace.run() == ["Tiny/teacher-states"]
    assert (workspace.folder("Tiny/teacher-states") / "states-00000.arrow").read_bytes() == whole


def test_a_flipped_byte_is_found_by_a_deep_check(workspace: Workspace) -> None:
    weights = workspace.folder("Tiny/kd-2l-s1") / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    assert workspace.statuses() == {}
    assert workspace.run() == []
    assert list(workspace.statuses(deep=True)) == ["Tiny/kd-2l-s1"]
    assert workspace.run(deep=True) == ["Tiny/kd-2l-s1"]
    assert workspace.statuses(deep=True) == {}
    kept = list((workspace.root / "artifacts" / "Tiny" / ".aside").iterdir())
    assert [(folder / "model.safetensors").read_bytes() for folder in kept] == [bytes(damaged)]


def test_one_changed_character_of_a_raw_file_rebuilds_all_stages_of_the_task(workspace: Workspace) -> None:
    path = workspace.root / "data_raw" / "Tiny" / "dev.tsv"
    path.write_text(path.read_text().replace("film", "game", 1))
    assert workspace.statuses()["Tiny/tokens"] == (StageStatus.MISSING, "raw/dev has changed")
    assert len(workspace.run()) == 18
    assert workspace.run() == []


def test_a_teacher_with_other_bytes_makes_only_its_dependents_stale(workspace: Workspace) -> None:
    folder = workspace.folder("Tiny/teacher")
    training = folder / "training.json"
    training.write_text(training.read_text() + "\n")
    manifest = read_manifest(folder)
    (folder / "manifest.json").unlink()
    write_manifest(folder, replace(manifest, files=hash_files(folder)))
    stale = workspace.statuses()
    assert stale["Tiny/teacher-states"] == (StageStatus.STALE, "its input teacher has changed since")
    assert "Tiny/finetune-2l-s1" not in stale
    ran = workspace.run()
    # The states come out with the same bytes, so that the students distilled from them still stand.
    # The report reads the course of the teacher's training.
    assert ran == ["Tiny/evaluation-teacher", "Tiny/teacher-states", "reports/report"]


class StopsAtStep(LogObserver):
    """Asks the process to stop at the second step of everything that it observes."""

    def progress(self, done: int, total: int, unit: str) -> None:
        if unit == "steps" and done == 2:
            request_stop()


def test_stopped_and_resumed_trainings_publish_the_same_files(finished: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    shutil.copytree(finished.root / "model", tmp_path / "model", dirs_exist_ok=True)

    @contextmanager
    def stopping(stage: Stage, _inputs: Mapping[str, StageRecord], resumes: bool) -> Iterator[Observer]:
        yield LogObserver(stage.key) if resumes else StopsAtStep(stage.key)

    plan = workspace.plan()
    options = RunOptions(device="cpu")
    stopped = []
    while len(stopped) < 10:
        try:
            run_plan(plan, options, stopping)
            break
        except StoppedError as error:
            stopped.append(str(error).split()[0])
            clear_stop_request()
    assert stopped == ["Tiny/teacher", *(f"Tiny/{student}" for student in STUDENTS)]
    for key in ("Tiny/teacher", *(f"Tiny/{student}" for student in STUDENTS)):
        ours, reference = (read_manifest(place.folder(key)) for place in (workspace, finished))
        assert ours.files == reference.files, key
