"""What the command line shows of a workspace: plan, verify and report, before and after a run, and a failed run."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import run_pkd, tree
from test_request import parse
from tiny import quick_arguments, write_tiny_task

from flows.cli.display import after_demo
from pkd_core.pipeline.plan import make_plan
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
    assert [line.split()[:2] for line in lines[2:-1]] == [
        ["Tiny/tokens", "missing"],
        ["Tiny/teacher", "missing"],
        ["Tiny/evaluation-teacher", "missing"],
        ["Tiny/speed-2l", "missing"],
        ["Tiny/finetune-2l-s42", "missing"],
        ["Tiny/evaluation-finetune-2l-s42", "missing"],
        ["reports/report", "missing"],
    ]
    assert re.fullmatch(rf"model: {tiny_model} \(4 layers, weights [0-9a-f]{{12}}\)", lines[0])
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
    assert re.search(r"missing +about \d+ s +training.batch_size is 8, was 32 ", student)
    assert re.fullmatch(r"7 stages: 4 done, 3 missing; about \d+ s by earlier runs here", lines[-1])


def test_plan_as_json_has_the_models_digest_and_each_stages_state(
    finished: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("plan", *finished, "student.batch_size=8", "--json") == 0
    plan = json.loads(capfd.readouterr().out)
    assert plan["counts"] == {"done": 4, "missing": 3}
    assert plan["model"]["num_layers"] == 4
    assert re.fullmatch("[0-9a-f]{64}", plan["model"]["weights"])
    tokens, _, _, _, student, *_ = plan["stages"]
    assert (tokens["stage"], tokens["status"], tokens["reason"]) == ("Tiny/tokens", "done", "")
    assert (Path(tokens["folder"]) / "manifest.json").is_file()
    assert student["reason"] == "training.batch_size is 8, was 32"
    assert student["estimated_seconds"] > 0
    assert plan["estimated_seconds"] >= student["estimated_seconds"]


@pytest.mark.parametrize("columns", ["60", "80"])
def test_no_name_is_cut_and_no_line_is_longer_than_a_narrow_terminal(
    columns: str, finished: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the pipe for a terminal
    assert run_pkd("plan", *finished[:1], "--model", finished[2], "tokens.max_length=99") == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capfd.readouterr().out)
    assert "Tiny/evaluation-pkd-last-2l-s42" in out
    assert "tokens.max_length is 99, was 16" in out
    lines = [line.rstrip() for line in out.splitlines()[1:]]
    assert [line for line in lines if len(line) > int(columns)] == []


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


@pytest.mark.parametrize("command", ["verify", "report", "runs"])
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


def test_report_as_json_is_the_reports_file(finished: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("report", "--json") == 0
    shown = json.loads(capfd.readouterr().out)
    path = Path(shown["folder"]) / "report.json"
    assert shown["report"] == json.loads(path.read_text(encoding="utf-8"))
    path.write_text("{", encoding="utf-8")
    assert run_pkd("report", "--json") == 2
    assert "report.json is damaged" in capfd.readouterr().err


def test_verify_as_json_names_what_is_damaged(finished: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    (weights,) = Path().glob("artifacts/Tiny/finetune-*/model.safetensors")
    weights.unlink()
    assert run_pkd("verify", "--json") == 1
    shown = json.loads(capfd.readouterr().out)
    assert (shown["num_stages"], shown["num_bytes"] > 0) == (7, True)
    assert shown["damaged"] == [{"folder": str(weights.parent), "reason": "model.safetensors is absent"}]


def test_runs_lists_what_was_asked_for_and_how_much_is_done(
    finished: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("runs") == 0
    line = capfd.readouterr().out.splitlines()[1]
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d +Tiny +finetune +half +42 +tiny-bert +7 of 7 +artifacts/runs/[0-9a-f]{16}.toml *",
        line,
    )


def test_runs_as_json_counts_the_stages_that_are_there(
    finished: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    (folder,) = Path().glob("artifacts/Tiny/finetune-*")
    shutil.rmtree(folder)
    assert run_pkd("runs", "--json") == 0
    (run,) = json.loads(capfd.readouterr().out)
    assert (run["num_done"], run["num_stages"], run["running"]) == (6, 7, False)
    assert run["request"]["methods"] == ["finetune"]
    assert run["request"]["settings"]["tokens.max_length"] == 16


def test_the_file_that_a_run_has_written_repeats_it(
    finished: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    (record,) = Path("artifacts/runs").glob("*.json")
    config = record.with_suffix(".toml")
    assert run_pkd("plan", "--config", str(config)) == 0
    assert "7 stages: 7 done" in capfd.readouterr().out
    request = parse("--config", str(config))
    with make_plan(request.run, Path()).recorded() as again:
        assert again == record


def test_run_again_runs_nothing_and_shows_the_report(
    ran: tuple[Path, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    root, words = ran
    published = {path: path.stat().st_mtime_ns for path in root.glob("*/*/*/manifest.json")}
    assert run_pkd("run", *words) == 0
    out = capfd.readouterr().out
    assert "7 stages: 7 done\nnothing is to be computed\n" in out
    assert re.search(r"^report: ", out, re.MULTILINE)
    assert {path: path.stat().st_mtime_ns for path in root.glob("*/*/*/manifest.json")} == published
    assert len(published) == 7


def test_run_again_needs_no_server_and_records_what_a_run_records(
    ran: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, words = ran
    monkeypatch.setattr(
        "flows.service.find_server.find_server", lambda _: pytest.fail("a server was looked for")
    )
    latest = root / "artifacts" / "reports" / "latest.txt"
    before = latest.read_text(encoding="utf-8")
    latest.unlink()
    shutil.rmtree(root / "artifacts" / "runs")
    assert run_pkd("run", *words) == 0
    assert latest.read_text(encoding="utf-8") == before
    (record,) = root.glob("artifacts/runs/*.json")
    assert before.strip() in record.read_text(encoding="utf-8")


def test_a_quiet_run_writes_its_report_alone(
    ran: tuple[Path, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("run", *ran[1], "--quiet") == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.startswith("\n") and "teacher, 4 layers" in out
    assert "stages" not in out


def test_quiet_and_verbose_exclude_each_other(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("demo", "--quiet", "--verbose") == 2
    assert "--quiet and --verbose exclude each other" in capfd.readouterr().err


def test_the_lines_after_the_demo_work_as_pasted(
    ran: tuple[Path, list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "the demo's; $HOME"
    root.symlink_to(ran[0])
    lines = after_demo(root).splitlines()[2:]
    commands = {words[1]: words for words in (shlex.split(line, comments=True) for line in lines)}
    assert list(commands) == ["verify", "demo", "up", "fetch"]
    for name in ("verify", "demo", "up"):
        assert commands[name] == ["pkd", name, "--workspace", str(root)]
    assert run_pkd(*commands["verify"][1:]) == 0
    assert "7 published stages, 0 damaged" in capfd.readouterr().out


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
