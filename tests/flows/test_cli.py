"""The command line as a user meets it: what it says, where, with which exit status, and what it leaves behind."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import write_tiny_task

from flows.cli import main

COMMANDS = ("demo", "run", "plan", "verify", "fetch", "presets", "report", "up")
PKD = str(Path(sys.executable).with_name("pkd"))
QUICK = ["teacher.num_epochs=1", "student.num_epochs=1", "tokens.max_length=16", "evaluation.speed_repeats=1"]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are cut to the terminal's width, which is 80 columns where there is no terminal."""
    monkeypatch.setenv("COLUMNS", "250")


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return time and content of everything below a folder."""
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }


def run(*arguments: str) -> int:
    """Run `pkd` in this process and return its exit status."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code if isinstance(ended.value.code, int) else 0


MISTAKES = {
    "no task": ([], "name at least one task, such as `pkd run RTE`"),
    "an unknown task": (["RTF"], "'RTF'; choose a near one (RTE)"),
    "a task twice": (["Tiny", "Tiny"], "tasks names the same thing twice: Tiny, Tiny"),
    "an unknown key": (
        ["Tiny", "student.lerning_rate=1"],
        "'student.lerning_rate': did you mean student.learning_rate or",
    ),
    "an unknown section": (["Tiny", "x=1"], "'x': the sections are tokens, teacher, student, distill"),
    "a value out of range": (["Tiny", "distill.alpha=1.5"], "distill.alpha cannot be '1.5'"),
    "a value of the wrong type": (["Tiny", "student.num_epochs=two"], "student.num_epochs cannot be 'two'"),
    "a value that is not finite": (["Tiny", "distill.beta=inf"], "distill.beta cannot be 'inf'"),
    "a setting twice": (["Tiny", "distill.alpha=0.1", "distill.alpha=0.2"], "distill.alpha is set twice"),
    "an unknown method": (["Tiny", "--methods", "kd,pdk"], "methods.1 cannot be 'pdk'"),
    "a seed that is no number": (["Tiny", "--seeds", "1,x"], "seeds.1 cannot be 'x'"),
    "a negative seed": (["Tiny", "--seeds=-1"], "seeds.0 cannot be '-1'"),
    "a depth that is no number": (["Tiny", "--student-layers", "two"], "student_layers.0 cannot be 'two'"),
    "a depth of no layers": (["Tiny", "--student-layers", "0"], "student_layers.0 cannot be '0'"),
    "a depth that does not divide": (["Tiny", "--student-layers", "3"], "divisible by the student's, got 4 and 3"),
    "a depth above the teacher's": (["Tiny", "--student-layers", "5"], "5 layers is deeper than its teacher of 4"),
    "no data": (["RTE"], "RTE"),
    "no such model folder": (["Tiny", "--model", "./absent"], "there is no model folder ./absent"),
    "a hub name while offline": (["Tiny", "--model", "nobody/bert"], "the model nobody/bert is not on this machine"),
    "what is no hub name": (["Tiny", "--model", "no body"], "'no body' is neither a folder nor a valid name"),
    "a workspace that is a file": (["Tiny", "--workspace", "notes.txt"], "notes.txt"),
}  # fmt: skip


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_no_trace(
    command: str, mistake: str, workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, expected = MISTAKES[mistake]
    if "--model" not in arguments:
        arguments = [*arguments, "--model", str(tiny_model)]
    (workspace / "notes.txt").write_text("not a folder", encoding="utf-8")
    before = tree(workspace)

    assert run(command, *arguments) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"pkd: .+\n", err)
    assert expected in err
    assert tree(workspace) == before


def test_a_missing_train_file_is_named_before_anything_runs(
    workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (workspace / "data_raw" / "Tiny" / "train.tsv").unlink()
    assert run("run", "Tiny", "--model", str(tiny_model)) == 2
    assert "data_raw/Tiny/train.tsv" in capfd.readouterr().err
    assert not (workspace / "artifacts").exists()


def test_a_device_that_is_not_there_is_named_before_anything_runs(
    workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("run", "Tiny", "--model", str(tiny_model), "--device", "abacus") == 2
    err = capfd.readouterr().err
    assert re.fullmatch(r"pkd: .+\n", err)
    assert "abacus" in err
    assert not (workspace / "artifacts").exists()


@pytest.mark.parametrize("option", ["--prefect-port", "--mlflow-port"])
def test_a_taken_port_is_named_with_the_option_for_another(
    option: str, workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run("up", "Tiny", "--model", str(tiny_model), option, str(port)) == 2
    err = capfd.readouterr().err
    assert re.fullmatch(r"pkd: .+\n", err)
    assert f"needs port {port}, which is taken" in err
    assert option in err
    assert not (workspace / "artifacts").exists()


@pytest.mark.parametrize("arguments", [["--nosuch"], ["run", "--nosuch"], ["nosuch"]])
def test_an_unknown_word_of_the_command_line_is_named_with_where_to_read_more(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "Error: " in err
    assert "--help' for help" in err
    assert "Traceback" not in err


def test_help_names_every_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    listed = re.findall(r"^  (\w+)  +\S", capfd.readouterr().out, re.MULTILINE)
    assert tuple(listed) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_and_its_options(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(command, "--help") == 0
    out = capfd.readouterr().out
    assert f"Usage: pkd {command}" in out
    options = re.findall(r"^  (--[\w-]+)(.*(?:\n {20,}.*)*)", out, re.MULTILINE)
    assert "--help" in dict(options)
    for name, text in options:
        assert len(re.sub(r"<\w+>|\[.*?\]", "", text).strip()) > 10, f"{name} is not explained"


def test_presets_lists_every_method_with_its_row(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("presets") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["task", "method", "layers", "lr", "T", "alpha", "beta", "normalize", "row"]
    (line,) = (line for line in lines if re.match(r"QNLI +pkd-skip +6 <- 12 ", line))
    assert "pkd_6layer best QNLI" in line
    assert {line.split()[1] for line in lines[1:]} == {"teacher", "finetune", "kd", "pkd-skip", "pkd-last"}


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys\nfrom flows.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(' '.join({'torch', 'transformers', 'prefect', 'mlflow'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == ""


def test_the_installed_command_ends_with_status_2_and_one_line(tmp_path: Path) -> None:
    ended = subprocess.run([PKD, "run", "x=1"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(r"pkd: name at least one task.+\n", ended.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, server: None) -> tuple[Path, list[str]]:
    """A workspace in which `pkd run` has run, and the words that it ran with."""
    root = tmp_path_factory.mktemp("ran")
    write_tiny_task(root / "data_raw")
    words = ["Tiny", "--model", str(tiny_model), "--methods", "finetune", *QUICK, "--workspace", str(root)]
    assert run("run", *words) == 0
    return root, words


@pytest.fixture
def finished(
    ran: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """The words of a finished run, in a copy of its workspace as the current folder."""
    root, words = ran
    shutil.copytree(root, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return words[:-2]


def test_plan_says_what_is_to_do_and_leaves_no_trace(
    workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = tree(workspace)
    assert run("plan", "Tiny", "--model", str(tiny_model), "--methods", "finetune") == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [
        ["Tiny/tokens", "missing"],
        ["Tiny/teacher", "missing"],
        ["Tiny/evaluation-teacher", "missing"],
        ["Tiny/finetune-2l-s42", "missing"],
        ["Tiny/evaluation-finetune-2l-s42", "missing"],
        ["reports/report", "missing"],
    ]
    assert lines[-1] == "6 stages: 6 missing"
    assert tree(workspace) == before


def test_plan_after_a_run_finds_all_done(finished: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run("plan", *finished) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "6 stages: 6 done"


def test_plan_says_why_a_changed_setting_makes_a_stage_again(
    finished: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("plan", *finished, "student.batch_size=8") == 0
    lines = capfd.readouterr().out.splitlines()
    (student,) = (line for line in lines if line.startswith("Tiny/finetune-2l-s42 "))
    assert re.search(r"missing +not made yet: training.batch_size is 8, was 32 ", student)
    assert lines[-1] == "6 stages: 3 done, 3 missing"


def test_verify_hashes_what_was_published(finished: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run("verify") == 0
    assert capfd.readouterr().out.startswith("6 published stages, 0 damaged")


def test_verify_ends_with_status_1_and_names_a_file_with_one_flipped_bit(
    finished: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    (weights,) = Path().glob("artifacts/Tiny/finetune-*/model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert run("verify") == 1
    damage, summary = capfd.readouterr().out.splitlines()
    assert damage == f"{weights.parent}: model.safetensors has other bytes than were published"
    assert summary.startswith("6 published stages, 1 damaged")


@pytest.mark.parametrize("command", ["verify", "report"])
def test_a_workspace_that_is_not_there_is_a_mistake(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(command, "--workspace", str(tmp_path / "absent")) == 2
    assert re.fullmatch(r"pkd: .*absent.*\n", capfd.readouterr().err)


def test_report_shows_the_table_of_the_latest_run(
    finished: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("report") == 0
    out = capfd.readouterr().out
    assert "finetune" in out
    (path,) = re.findall(r"^report: (\S+)", out, re.MULTILINE)
    assert Path(path).is_file()


def test_report_without_a_run_says_how_to_make_one(
    workspace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("report") == 2
    assert re.fullmatch(
        r"pkd: there is no report in .+`pkd run TASK` or `pkd demo`\.\n", capfd.readouterr().err
    )


def test_run_again_runs_nothing_and_shows_the_report(
    ran: tuple[Path, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    root, words = ran
    published = {path: path.stat().st_mtime_ns for path in root.glob("*/*/*/manifest.json")}
    assert run("run", *words) == 0
    out = capfd.readouterr().out
    assert "6 stages: 6 done" in out
    assert re.search(r"^report: ", out, re.MULTILINE)
    assert {path: path.stat().st_mtime_ns for path in root.glob("*/*/*/manifest.json")} == published
    assert len(published) == 6


def test_a_run_that_fails_names_the_root_cause_and_still_reports_the_rest(
    ran: tuple[Path, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    root, words = ran
    write_tiny_task(root / "data_raw", "Broken")
    with (root / "data_raw" / "Broken" / "dev.tsv").open("a", encoding="utf-8") as file:
        file.write("a film\tsideways\n")
    assert run("run", "Broken", *words) == 2
    out, err = capfd.readouterr()
    last = err.splitlines()[-1]
    assert re.match(r"pkd: 1 of 2 chains failed: Broken tokens: .*dev\.tsv:26: .*'sideways'", last)
    assert "finetune" in out
