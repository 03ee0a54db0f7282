"""The command line as a user meets it: mistakes are one sentence and leave no trace, and help explains all."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from command import run_pkd, tree

COMMANDS = (
    "demo",
    "compress",
    "run",
    "plan",
    "search",
    "verify",
    "runs",
    "clean",
    "fetch",
    "presets",
    "settings",
    "report",
    "predict",
    "push",
    "compare",
    "submit",
    "up",
    "deploy",
)
PKD = str(Path(sys.executable).with_name("pkd"))


MISTAKES = {
    "no task": ([], "name at least one task, such as `pkd run RTE`"),
    "an unknown task": (["RTF"], "'RTF'; choose a similar one (RTE)"),
    "a task twice": (["Tiny", "Tiny"], "tasks names the same thing twice: Tiny, Tiny"),
    "an unknown key": (
        ["Tiny", "student.lerning_rate=1"],
        "'student.lerning_rate': did you mean student.learning_rate or",
    ),
    "an unknown section": (["Tiny", "x=1"], "'x': the sections are tokens, teacher, student, distill"),
    "a value out of range": (["Tiny", "distill.alpha=1.5"], "distill.alpha cannot be '1.5'"),
    "a value of the wrong type": (["Tiny", "student.num_epochs=two"], "student.num_epochs cannot be 'two'"),
    "a value that is not finite": (["Tiny", "distill.beta=inf"], "distill.beta cannot be 'inf'"),
    "a setting twice": (["Tiny", "distill.alpha=0.1", "distill.alpha=0.2"], "'distill.alpha' is set twice"),
    "an unknown method": (["Tiny", "--methods", "kd,pdk"], "methods.1 cannot be 'pdk'"),
    "a method's first part": (["Tiny", "--methods", "pkd"], "did you mean pkd-skip or pkd-last."),
    "a setting of no effect": (
        ["Tiny", "--methods", "finetune", "distill.temperature=5"],
        "distill.temperature has no effect on finetune: only kd, pkd-skip, pkd-last, kd.full read it",
    ),
    "a workspace that no URL names": (["Tiny", "--workspace", "a#b"], "cannot use a folder with # in its path"),
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
    "a workspace that is a file": (["Tiny", "--workspace", "notes.txt"], "must be a folder, got the file notes.txt"),
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

    assert run_pkd(command, *arguments) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"pkd: .+\n", err)
    assert expected in err
    assert tree(workspace) == before


def test_a_missing_train_file_is_named_before_anything_runs(
    workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (workspace / "data_raw" / "Tiny" / "train.tsv").unlink()
    assert run_pkd("run", "Tiny", "--model", str(tiny_model)) == 2
    assert "data_raw/Tiny/train.tsv" in capfd.readouterr().err
    assert not (workspace / "artifacts").exists()


def test_a_missing_device_is_named_before_anything_runs(
    workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("run", "Tiny", "--model", str(tiny_model), "--device", "abacus") == 2
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
        assert run_pkd("up", "Tiny", "--model", str(tiny_model), option, str(port)) == 2
    err = capfd.readouterr().err
    assert re.fullmatch(r"pkd: .+\n", err)
    assert f"needs port {port}, which is taken" in err
    assert option in err
    assert not (workspace / "artifacts").exists()


def test_equal_ports_are_refused(
    workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ports = ["--prefect-port", "4321", "--mlflow-port", "4321"]
    assert run_pkd("up", "Tiny", "--model", str(tiny_model), *ports) == 2
    err = capfd.readouterr().err
    assert re.fullmatch(r"pkd: .+ need a port each, got 4321 for both; give another --prefect-port .+\n", err)
    assert not (workspace / "artifacts").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        *[
            ["up", "RTE", option, port]
            for option in ("--prefect-port", "--mlflow-port")
            for port in ("-1", "65536")
        ],
        *[["--nosuch"], ["run", "--nosuch"], ["nosuch"], ["nosuch[/red]"]],
    ],
)
def test_an_unknown_or_impossible_argument_is_named_with_a_pointer_to_help(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd(*arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"pkd: .+; `pkd( run| up)? --help` lists what it takes\.\n", err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "no such command 'rnu'; did you mean 'run'; "),
        (["run", "RTE", "--seeds", "1", "--seeds", "2"], "--seeds is given 2 times; give it once."),
        (["fetch"], "missing argument 'TASK...'; `pkd fetch --help`"),
    ],
)
def test_a_wrong_word_or_option_is_one_sentence(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd(*arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"pkd: {message}")
    assert err.count("\n") == 1


def test_without_words_help_is_shown_and_the_status_is_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd() == 2
    assert "Usage: pkd" in capfd.readouterr().err


def test_a_mistake_with_control_characters_is_shown_without_them(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("report", "--workspace", "a\x1b[31m\ab") == 2
    assert "a\\x1b[31m\\x07b yet" in capfd.readouterr().err


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_command_and_cuts_no_sentence(
    option: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run_pkd(option) == 0
    out = capfd.readouterr().out
    listed = re.findall(r"^  (\w+)  +(\S.*(?:\n {6,}.*)*)", out.partition("Commands:")[2], re.MULTILINE)
    assert tuple(name for name, _ in listed) == COMMANDS
    assert [name for name, text in listed if not text.endswith(".")] == []
    assert "..." not in out.partition("Commands:")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_and_its_options(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd(command, "--help") == 0
    out = capfd.readouterr().out
    assert f"Usage: pkd {command}" in out
    options = re.findall(r"^  (?:-h, )?(--[\w-]+)(.*(?:\n {20,}.*)*)", out, re.MULTILINE)
    assert "--help" in dict(options)
    for name, text in options:
        assert len(re.sub(r"<\w+>|\[.*?\]", "", text).strip()) > 10, f"{name} is not explained"


def test_presets_lists_every_method_with_its_row(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("presets") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["task", "method", "layers", "lr", "T", "alpha", "beta", "normalize", "row"]
    (line,) = (line for line in lines if re.match(r"QNLI +pkd-skip +6 <- 12 ", line))
    assert "pkd_6layer best QNLI" in line
    (line,) = (line for line in lines if re.match(r"QNLI +kd +6 of 12 <- 24 ", line))
    assert "kd_6layer_teacher24_base best QNLI" in line
    assert {line.split()[1] for line in lines[1:]} == {"teacher", "finetune", "kd", "pkd-skip", "pkd-last"}


def test_help_imports_no_heavy_library() -> None:
    code = (
        "import sys\nfrom flows.cli.app import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(' '.join({'torch', 'transformers', 'prefect', 'mlflow'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == ""


def test_a_plan_of_which_all_is_done_imports_no_heavy_library() -> None:
    code = (
        "import sys\nimport flows.cli.run, flows.prepare, flows.demo, tasks.completeness\n"
        "sys.exit(' '.join({'torch', 'transformers', 'prefect', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == ""


def test_the_installed_command_ends_with_status_2_and_one_line(tmp_path: Path) -> None:
    ended = subprocess.run([PKD, "run", "x=1"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(r"pkd: name at least one task.+\n", ended.stderr)
    assert list(tmp_path.iterdir()) == []
