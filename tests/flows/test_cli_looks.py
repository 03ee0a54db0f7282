"""What the command line shows of a workspace: plan, verify and report, before and after a run, and a failed run."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import run_pkd, tree
from tiny import quick_arguments, write_tiny_task

from pkd_core.store.address import AREAS, is_reserved


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, server_variables: dict[str, str]
) -> Iterator[tuple[Path, list[str]]]:
    """A workspace in which `pkd run` has run, and the words that it ran with."""
    root = tmp_path_factory.mktemp("ran")
    write_tiny_task(root / "data_raw")
    words = [
        "Tiny",
        "--model",
        str(tiny_model),
        "--methods",
        "finetune",
        *quick_arguments(),
        "--workspace",
        str(root),
    ]
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in server_variables.items():
            monkeypatch.setenv(name, value)
        assert run_pkd("run", *words) == 0
        yield root, words


@pytest.fixture
def finished(
    ran: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """The words of a finished run, in a copy of its workspace as the current folder."""
    root, words = ran
    shutil.copytree(root, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return words[:-2]


def test_plan_lists_missing_stages_and_changes_nothing(
    workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = tree(workspace)
    assert run_pkd("plan", "Tiny", "--model", str(tiny_model), "--methods", "finetune") == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [
        ["Tiny/tokens", "missing"],
        ["Tiny/teacher", "missing"],
        ["Tiny/evaluation-teacher", "missing"],
        ["Tiny/speed-2l", "missing"],
        ["Tiny/finetune-2l-s42", "missing"],
        ["Tiny/evaluation-finetune-2l-s42", "missing"],
        ["reports/report", "missing"],
    ]
    assert lines[-1] == "7 stages: 7 missing"
    assert tree(workspace) == before


def test_plan_after_a_run_finds_all_done(finished: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("plan", *finished) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "7 stages: 7 done"


def test_plan_explains_why_a_changed_setting_rebuilds_a_stage(
    finished: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("plan", *finished, "student.batch_size=8") == 0
    lines = capfd.readouterr().out.splitlines()
    (student,) = (line for line in lines if line.startswith("Tiny/finetune-2l-s42 "))
    assert re.search(r"missing +not built yet: training.batch_size is 8, was 32 ", student)
    assert lines[-1] == "7 stages: 4 done, 3 missing"


def test_no_task_can_have_the_name_of_what_a_run_leaves_beside_the_tasks(finished: list[str]) -> None:
    names = {path.name for area in AREAS for path in Path(area).iterdir()}
    assert {"prefect", "mlflow.db", "reports", "runs"} < names
    assert {name for name in names if not is_reserved(name)} == {"Tiny"}


def test_verify_hashes_what_was_published(finished: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("verify") == 0
    assert capfd.readouterr().out.startswith("7 published stages, 0 damaged")


def test_verify_ends_with_status_1_and_names_a_file_with_one_flipped_bit(
    finished: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    (weights,) = Path().glob("artifacts/Tiny/finetune-*/model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert run_pkd("verify") == 1
    damage, summary = capfd.readouterr().out.splitlines()
    assert damage == f"{weights.parent}: model.safetensors has other bytes than were published"
    assert summary.startswith("7 published stages, 1 damaged")


@pytest.mark.parametrize("command", ["verify", "report"])
def test_a_missing_workspace_is_a_mistake(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd(command, "--workspace", str(tmp_path / "absent")) == 2
    assert re.fullmatch(r"pkd: .*absent.*\n", capfd.readouterr().err)


def test_report_shows_the_table_of_the_latest_run(
    finished: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("report") == 0
    out = capfd.readouterr().out
    assert "finetune" in out
    (path,) = re.findall(r"^report: (\S+)", out, re.MULTILINE)
    assert Path(path).is_file()


def test_report_without_a_run_gives_a_remedy(workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("report") == 2
    assert re.fullmatch(
        r"pkd: there is no report in .+`pkd run TASK` or `pkd demo`\.\n", capfd.readouterr().err
    )


def test_run_again_runs_nothing_and_shows_the_report(
    ran: tuple[Path, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    root, words = ran
    published = {path: path.stat().st_mtime_ns for path in root.glob("*/*/*/manifest.json")}
    assert run_pkd("run", *words) == 0
    out = capfd.readouterr().out
    assert "7 stages: 7 done" in out
    assert re.search(r"^report: ", out, re.MULTILINE)
    assert {path: path.stat().st_mtime_ns for path in root.glob("*/*/*/manifest.json")} == published
    assert len(published) == 7


def test_a_run_that_fails_names_the_root_cause_and_still_reports_the_rest(
    ran: tuple[Path, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    root, words = ran
    write_tiny_task(root / "data_raw", "Broken")
    (root / "artifacts" / "Broken").write_text("in the way", encoding="utf-8")
    assert run_pkd("run", "Broken", *words) == 2
    out, err = capfd.readouterr()
    last = err.splitlines()[-1]
    assert re.match(r"pkd: 1 of 2 tasks failed: Broken teacher: .*move away the file that is", last)
    assert "finetune" in out
