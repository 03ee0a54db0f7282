"""The command line's words become a checked run, and the run becomes the deployment's parameters and back."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.request import Request
from pkd_core.config.overrides import build_run_config
from pkd_core.config.settings import DEFAULT_MODEL, METHODS
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import ConfigError


def parse(*words: str, **changes: Any) -> Request:
    given: dict[str, Any] = {
        "methods": None,
        "student_layers": None,
        "seeds": "42",
        "model": None,
        "workspace": Path("here"),
        "device": "auto",
        "deep": False,
    }
    return Request.parse(list(words), **(given | changes))


def test_words_with_an_equals_sign_are_settings_wherever_they_stand() -> None:
    run = parse("distill.temperature=5", "RTE", "tokens.max_length=64", "MRPC").run
    assert run.tasks == ("RTE", "MRPC")
    assert run.settings == {"distill.temperature": "5", "tokens.max_length": "64"}


def test_what_is_not_given_has_the_defaults_that_help_names() -> None:
    run = parse("RTE").run
    assert (run.methods, run.student_layers, run.seeds, run.model) == (METHODS, None, (42,), DEFAULT_MODEL)


def test_lists_are_split_at_commas() -> None:
    run = parse("RTE", methods="kd,pkd-last", student_layers="3,6", seeds="1,2,3").run
    assert (run.methods, run.student_layers, run.seeds) == (("kd", "pkd-last"), (3, 6), (1, 2, 3))


@pytest.mark.parametrize("words", [(), ("distill.temperature=5",)])
def test_no_task_means_all_of_glue_for_the_deployment_and_is_a_mistake_elsewhere(
    words: tuple[str, ...],
) -> None:
    assert parse(*words, default_all=True).run.tasks == tuple(GLUE_TASKS)
    with pytest.raises(ConfigError, match="name at least one task"):
        parse(*words)


@pytest.mark.parametrize("lists", [{"methods": "kd,"}, {"seeds": "1,,2"}, {"student_layers": ","}])
def test_a_comma_too_many_is_a_mistake(lists: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="cannot be ''"):
        parse("RTE", **lists)


def test_the_parameters_survive_json_and_build_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request = parse(
        "RTE", "distill.alpha=0.2", "distill.normalize=no", student_layers="3", seeds="1,2", device="cpu"
    )
    parameters = json.loads(json.dumps(request.parameters()))
    keys = ("workspace", "device", "deep", "strict", "checkpoint_minutes", "share")
    work = {key: parameters.pop(key) for key in keys}
    assert build_run_config(**parameters) == request.run
    assert work == {
        "workspace": str(tmp_path / "here"),
        "device": "cpu",
        "deep": False,
        "strict": False,
        "checkpoint_minutes": 5.0,
        "share": 1,
    }


def test_a_model_folder_is_found_from_any_other_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my-bert").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse("RTE", model="my-bert").parameters()["model"] == str(tmp_path / "my-bert")
