"""A run's file repeats it exactly, what is typed overrides it, and a wrong key gets its neighbour."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_request import parse

from flows.request import Request
from flows.run_file import read_run_file, write_run_file
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import ConfigError

TEXT = """\
tasks = ["RTE", "MRPC"]
methods = ["kd"]
seeds = [1, 2]
device = "cpu"
deep = true

[settings.student]
num_epochs = 3
learning_rate = 5e-5

[settings]
tokens.max_length = 64
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "run.toml").write_text(TEXT, encoding="utf-8")
    return tmp_path / "run.toml"


def test_every_option_survives_its_file(tmp_path: Path) -> None:
    request = parse(
        "RTE", "Own", "student.learning_rate=1e-5", "student.init=teacher-skip", "distill.normalize=no",
        "distill.beta=1e30", "teacher.seed=9223372036854775807", "--methods", "kd,pkd-last", "--student-layers", "2-4",
        "--seeds", "1-3", "--device", "cuda", "--strict", "--checkpoint-minutes", "0.5", "--placement", "ray",
        "--workspace", str(tmp_path),
    )  # fmt: skip
    write_run_file(request.parameters(), tmp_path / "run.toml")
    assert Request.build(read_run_file(tmp_path / "run.toml"), tmp_path) == request
    assert parse("--config", str(tmp_path / "run.toml"), "--workspace", str(tmp_path)) == request


@given(
    model=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
)
def test_any_name_of_a_model_survives_its_file(model: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    request = Request(build_run_config(tasks=["RTE"], model=f"hub/{model}"), RunOptions(), folder)
    write_run_file(request.parameters(), folder / "run.toml")
    assert Request.build(read_run_file(folder / "run.toml"), folder) == request


def test_a_model_folder_has_its_absolute_path_and_the_workspace_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    write_run_file(parse("RTE", "--model", "model").parameters(), Path("run.toml"))
    values = read_run_file(Path("run.toml"))
    assert values["model"] == str(tmp_path / "model")
    assert "workspace" not in values


def test_what_is_typed_overrides_the_file(path: Path) -> None:
    request = parse("--config", str(path), "SST-2", "--seeds", "7", "--no-deep", "student.num_epochs=9")
    assert (request.run.tasks, request.run.methods, request.run.seeds) == (("SST-2",), ("kd",), (7,))
    assert (request.options.device, request.options.deep) == ("cpu", False)
    assert request.run.settings == {
        "student.num_epochs": 9,
        "student.learning_rate": 5e-5,
        "tokens.max_length": 64,
    }


def test_without_tasks_typed_those_of_the_file_are_run(path: Path) -> None:
    request = parse("--config", str(path))
    assert request.run.tasks == ("RTE", "MRPC")
    assert request.options == RunOptions(device="cpu", deep=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 1", r"run.toml: there is no key 'seed': did you mean seeds"),
        ("colour = 1", r"there is no key 'colour': the keys are tasks, methods"),
        (
            "tasks = ['RTE']\n[settings.student]\nnum_epoch = 1",
            r"no setting 'student.num_epoch': did you mean student.num_epochs",
        ),
        ("[settings]\nnum_epochs = 1", r"expected settings in sections, such as \[settings.student\]"),
        ("settings = 3", r"expected settings in sections"),
        ("tasks = 'RTE'", r"tasks cannot be 'RTE'"),
        ("tasks = ['RTE']\nseeds = [-1]", r"seeds.0 cannot be -1"),
        ("tasks = [", r"run.toml: expected a TOML file, got one that cannot be read"),
        ("tasks = " + 100_000 * "[", r"run.toml: expected a TOML file, got one that"),
        ("seeds = [1]", r"name at least one task"),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, message: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        parse("--config", str(path))


def test_a_file_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*absent\.toml;"):
        parse("RTE", "--config", str(tmp_path / "absent.toml"))
