"""What the command line is given becomes a request, and the request becomes the flow's parameters and back."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.options import takes_request
from flows.cli.words import split_arguments
from flows.pkd import pkd
from flows.request import Request
from flows.workspace import check_addressable, given_workspace
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import DEFAULT_METHODS, DEFAULT_MODEL, RunConfig
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import ConfigError, StoreError


def _recorder(requests: list[Request]) -> Callable[[Request], None]:
    def command(request: Request) -> None:
        requests.append(request)

    return command


def parse(*words: str, default_all: bool = False) -> Request:
    """Parse a command line as `pkd run` does."""
    requests: list[Request] = []
    app = typer.Typer()
    app.command()(takes_request(default_all)(_recorder(requests)))
    CliRunner().invoke(app, list(words), catch_exceptions=False, standalone_mode=False)
    (request,) = requests
    return request


def test_arguments_with_an_equals_sign_are_settings_wherever_they_stand() -> None:
    run = parse("distill.temperature=5", "RTE", "tokens.max_length=64", "MRPC").run
    assert run.tasks == ("RTE", "MRPC")
    assert run.settings == {"distill.temperature": 5.0, "tokens.max_length": 64}


def test_what_is_not_given_has_the_defaults() -> None:
    request = parse("RTE")
    assert request == Request(RunConfig(tasks=("RTE",)), RunOptions(), Path())
    run = request.run
    assert (run.methods, run.student_layers, run.seeds, run.model) == (
        DEFAULT_METHODS,
        None,
        (42,),
        DEFAULT_MODEL,
    )


def test_lists_are_split_at_commas() -> None:
    run = parse("RTE", "--methods", "kd,pkd-last", "--student-layers", "3,6", "--seeds", "1,2,3").run
    assert (run.methods, run.student_layers, run.seeds) == (("kd", "pkd-last"), (3, 6), (1, 2, 3))


def test_spaces_around_commas_are_ignored_and_ranges_are_written_out() -> None:
    run = parse("RTE", "--methods", "kd, finetune", "--student-layers", "2-4", "--seeds", "1-3, 7").run
    assert (run.methods, run.student_layers, run.seeds) == (("kd", "finetune"), (2, 3, 4), (1, 2, 3, 7))


@pytest.mark.parametrize(
    ("seeds", "message"), [("5-1", "smaller to a larger"), ("0-99999999999", "at most 1000")]
)
def test_a_range_that_goes_down_or_is_too_long_is_a_mistake(seeds: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse("RTE", "--seeds", seeds)


@pytest.mark.parametrize(
    "words",
    [
        ["student.num_epochs", "=", "3"],
        ["student.num_epochs=", "3"],
        ["student.num_epochs", "=3"],
        ["student.num_epochs", "3"],
    ],
)
def test_a_setting_of_several_words_is_written_as_it_should_be(words: list[str]) -> None:
    for line in (["RTE", *words], [*words, "RTE"]):
        with pytest.raises(ConfigError, match=r"without spaces: student\.num_epochs=3\.$"):
            split_arguments(line)


def test_tasks_with_commas_are_written_as_they_should_be() -> None:
    with pytest.raises(ConfigError, match=r"separated by spaces, not commas: RTE MRPC\.$"):
        split_arguments(["RTE,MRPC"])


def test_a_setting_without_a_value_is_no_task() -> None:
    with pytest.raises(ConfigError, match=r"needs its value in the same word.*: distill\.alpha=VALUE"):
        split_arguments(["RTE", "distill.alpha"])


def test_an_unknown_setting_of_several_words_gets_its_neighbours() -> None:
    with pytest.raises(ConfigError, match="did you mean student"):
        split_arguments(["student.lerning_rate", "=", "3"])


@pytest.mark.parametrize("char", "%?#")
def test_a_workspace_that_no_url_can_name_is_refused(
    char: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_HOME")
    workspace = tmp_path / f"a{char}b"
    with pytest.raises(
        ConfigError, match=rf"^Prefect and MLflow cannot use a folder with \{char} in its path, got /"
    ):
        check_addressable(workspace)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"^Prefect cannot use"):
        check_addressable(workspace)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    check_addressable(workspace)


def test_every_option_arrives() -> None:
    request = parse(
        "RTE", "--model", "my/bert", "--device", "cuda", "--deep", "--strict", "--checkpoint-minutes", "0.5",
        "--placement", "ray", "--students-per-gpu", "3", "--workspace", "there",
    )  # fmt: skip
    assert request.run.model == "my/bert"
    assert request.workspace == Path("there")
    assert request.options == RunOptions(
        device="cuda", deep=True, strict=True, checkpoint_minutes=0.5, placement="ray", students_per_gpu=3
    )


def test_a_commands_own_options_stay_beside_those_of_the_run() -> None:
    calls: list[tuple[Request, int]] = []
    app = typer.Typer()

    @app.command()
    @takes_request(default_all=True)
    def up(request: Request, port: int = 4200) -> None:
        calls.append((request, port))

    CliRunner().invoke(app, ["--port", "1", "--seeds", "7"], catch_exceptions=False, standalone_mode=False)
    ((request, port),) = calls
    assert (request.run.tasks, request.run.seeds, port) == (tuple(GLUE_TASKS), (7,), 1)


@pytest.mark.parametrize("arguments", [[], ["distill.temperature=5"]])
def test_no_task_means_all_of_glue_for_the_deployment_and_is_a_mistake_elsewhere(
    arguments: list[str],
) -> None:
    assert parse(*arguments, default_all=True).run.tasks == tuple(GLUE_TASKS)
    with pytest.raises(ConfigError, match="name at least one task"):
        parse(*arguments)


@pytest.mark.parametrize("lists", [("--methods", "kd,"), ("--seeds", "1,,2"), ("--student-layers", ",")])
def test_a_comma_too_many_is_a_mistake(lists: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="cannot be ''"):
        parse("RTE", *lists)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--checkpoint-minutes", "-1", "checkpoint_minutes cannot be -1.0"),
        ("--checkpoint-minutes", "nan", "checkpoint_minutes cannot be nan"),
        ("--checkpoint-minutes", "1e300", "checkpoint_minutes cannot be 1e\\+300"),
        ("--students-per-gpu", "0", "students_per_gpu cannot be 0"),
        ("--students-per-gpu", "30000000", "students_per_gpu cannot be 30000000: input should be less"),
        ("--device", 5000 * "x", "device cannot be 'x+[.]{3}x+': string should have at most"),
    ],
)
def test_an_option_out_of_range_is_a_mistake(option: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse("RTE", option, value)


def test_parameters_survive_json_and_build_the_same_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request = parse(
        "RTE", "distill.alpha=0.2", "distill.normalize=no", "--student-layers", "3", "--seeds", "1,2",
        "--device", "cpu", "--deep", "--strict", "--checkpoint-minutes", "2", "--placement", "ray",
        "--workspace", "here",
    )  # fmt: skip
    parameters: dict[str, Any] = json.loads(json.dumps(request.parameters()))
    assert parameters["workspace"] == str(tmp_path / "here")
    assert Request.build(parameters, given_workspace(parameters)) == Request(
        request.run, request.options, tmp_path / "here"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            (name, None)
            for name in ("tasks", "methods", "seeds", "model", "settings", "device", "deep", "workspace")
        ],
        *[(name, 0) for name in ("tasks", "methods", "seeds", "model", "settings", "device", "workspace")],
        ("students_per_gpu", 0),
        ("placement", None),
        ("checkpoint_minutes", float("nan")),
        ("strict", "perhaps"),
        ("tasks", "RTE"),
        ("tasks", [["RTE"]]),
        ("tasks", [{}]),
        ("tasks", [f"T{number}" for number in range(50_000)]),
        ("seeds", {"a": 1}),
        ("seeds", [None]),
        ("seeds", list(range(50_000))),
        ("settings", ["distill.alpha=0.5"]),
        ("settings", {"distill.alpha": {"a": [1]}}),
        ("settings", {"distill.alpha": "0\0"}),
        ("settings", {"\0": 1}),
        ("model", "a\0b"),
        ("student_model", "a\0b"),
        ("student_model", ["bert"]),
        ("device", "cpu\0"),
        ("workspace", "a\0b"),
        ("workspace", ""),
        ("workspace", ["."]),
        ("workspace", 5000 * "x"),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_refused_in_one_sentence_that_names_it(
    name: str, value: Any
) -> None:
    parameters = Request(RunConfig(tasks=("RTE",)), RunOptions(), Path()).parameters() | {name: value}
    with pytest.raises(ConfigError) as caught:
        Request.build(parameters, given_workspace(parameters))
    message = str(caught.value)
    assert name in message or "distill.alpha" in message or "no setting" in message
    assert "\n" not in message and "\0" not in message and len(message) < 300


def test_a_workspace_that_is_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StoreError, match="loop"):
        given_workspace({"workspace": str(tmp_path / "loop")})


def test_a_model_folder_is_found_from_any_other_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my-bert").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse("RTE", "--model", "my-bert").parameters()["model"] == str(tmp_path / "my-bert")
    parameters = parse("RTE", "--student-model", "my-bert").parameters()
    assert parameters["student_model"] == str(tmp_path / "my-bert")
    assert parameters["model"] == DEFAULT_MODEL
    assert parse("RTE", "--student-model", "nobody/bert").parameters()["student_model"] == "nobody/bert"


def test_flow_and_deployment_take_every_field_with_its_default() -> None:
    defaults = {name: parameter.default for name, parameter in inspect.signature(pkd.fn).parameters.items()}
    expected = RunConfig(tasks=tuple(GLUE_TASKS)).model_dump() | RunOptions().model_dump()
    assert defaults == expected | {"workspace": "."}
    assert pkd.parameters.properties.keys() == defaults.keys()


def test_prefects_page_describes_every_parameter_as_help_does() -> None:
    described = {name: values["description"] for name, values in pkd.parameters.properties.items()}
    fields = RunConfig.model_fields | RunOptions.model_fields
    assert {name: described[name] for name in fields} == {
        name: field.description for name, field in fields.items()
    }
    assert "data_raw" in described["workspace"]


def test_the_convention_is_an_option_or_stands_among_the_settings() -> None:
    assert parse("RTE").run.convention == "default"
    for words in (["convention=authors"], ["--convention", "authors"]):
        run = parse("RTE", *words, "distill.temperature=5").run
        assert run.convention == "authors"
        assert run.settings == {"distill.temperature": 5.0}


def test_a_convention_that_is_given_twice_or_unknown_is_a_mistake() -> None:
    with pytest.raises(
        ConfigError, match="the convention is given twice, by --convention and by convention="
    ):
        parse("RTE", "convention=authors", "--convention", "paper")
    with pytest.raises(ConfigError, match="convention cannot be 'theirs'"):
        parse("RTE", "convention=theirs")
