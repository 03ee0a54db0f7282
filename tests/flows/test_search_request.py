"""`pkd search` on the command line: what is typed arrives, its file repeats it, and mistakes end in a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import run_pkd
from prefect.utilities.callables import parameter_schema
from tiny import quick_arguments

from flows.run_file import read_run_file, write_run_file
from flows.search.flow import pkd_search
from flows.search.request import SearchRequest
from flows.service.serve import search_parameters
from flows.workspace import given_workspace
from pkd_core.config.search import SearchConfig

VALUES = {
    "tasks": ["RTE"],
    "methods": ["kd"],
    "seeds": [1, 2],
    "settings": {
        "student.num_epochs": "2",
        "search.alpha": "0.2,0.5",
        "search.sampler": "tpe",
        "search.trials": "7",
    },
}


def test_a_searchs_settings_are_divided_from_those_of_its_runs(tmp_path: Path) -> None:
    asked = SearchRequest.build(VALUES, tmp_path)
    assert asked.request.run.settings == {"student.num_epochs": 2}
    assert (asked.config.alpha, asked.config.sampler, asked.config.trials) == ((0.2, 0.5), "tpe", 7)
    assert asked.config.temperature == (5.0, 10.0, 20.0)


def test_parameters_and_files_repeat_a_search(tmp_path: Path) -> None:
    asked = SearchRequest.build(VALUES, tmp_path)
    parameters = asked.parameters()
    sent = json.loads(json.dumps(parameters))
    assert SearchRequest.build(sent, given_workspace(sent)) == asked
    write_run_file(parameters, tmp_path / "search.toml")
    assert "[settings.search]\nalpha = [0.2, 0.5]\n" in (tmp_path / "search.toml").read_text(encoding="utf-8")
    assert SearchRequest.build(read_run_file(tmp_path / "search.toml"), tmp_path) == asked


def test_the_form_has_a_field_for_each_setting_of_a_search() -> None:
    schema = parameter_schema(pkd_search.fn).model_dump()
    fields = schema["definitions"]["settings"]["properties"]
    assert {f"search.{name}" for name in SearchConfig.model_fields} <= fields.keys()
    assert fields["search.choose_on"]["enum"] == ["train", "dev"]
    assert fields["search.alpha"]["items"] == {"type": "number", "minimum": 0, "maximum": 1}
    assert "student.num_epochs" in fields
    assert "tasks" in schema["required"]


def test_a_service_of_several_tasks_has_no_default_task_of_a_search() -> None:
    parameters: dict[str, Any] = {"tasks": ["RTE", "MRPC"], "student_layers": [3, 6], "seeds": [1, 2]}
    assert search_parameters(parameters) == {"seeds": [1, 2]}
    assert search_parameters(parameters | {"tasks": ["RTE"]}) == {"tasks": ["RTE"], "seeds": [1, 2]}


def test_a_plan_counts_trainings_and_those_that_are_done(
    workspace: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("search", "Tiny", "--plan", "--model", str(tiny_model), "--seeds", "1,2", *quick_arguments())
    assert run_pkd(*words, "--methods", "kd,pkd-last", "search.alpha=0.5", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [
        (one["name"], one["num_points"], one["num_trainings"], one["num_done"]) for one in found["rounds"]
    ] == [
        ("kd", 9, 19, 0),
        ("pkd-last", 24, 48, None),
        ("best of each method", 2, 5, None),
    ]
    assert run_pkd(*words, "--methods", "finetune") == 0
    shown = capsys.readouterr().out
    assert "finetune" in shown
    assert "9 trainings, of which 0 are done" in shown
    assert not (workspace / "artifacts").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["Tiny", "search.gamma=1"], "there is no setting 'search.gamma'"),
        (["Tiny", "search.alpha="], "search.alpha needs at least one value"),
        (["Tiny", "distill.alpha=0.5"], "distill.alpha is searched, and cannot be set too"),
        (["Tiny", "RTE"], "a search is for one task, got 2"),
        (["Nothing"], "expected a known task, got 'Nothing'"),
        (["Tiny", "--json"], "--json is for --plan"),
        ([], "name at least one task"),
        (
            ["Tiny", "--student-layers", "1", "--methods", "finetune,pkd-skip"],
            "needs a student of 2 layers or more",
        ),
    ],
)
def test_a_mistake_ends_in_one_sentence(
    words: list[str], sentence: str, workspace: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("search", *words, "--model", str(tiny_model)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_a_task_without_data_is_refused(
    workspace: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "data_raw" / "Tiny" / "train.tsv").unlink()
    assert run_pkd("search", "Tiny", "--plan", "--model", str(tiny_model)) == 2
    assert "Tiny needs data_raw/Tiny/train.tsv, which does not exist" in capsys.readouterr().err


def test_a_run_does_not_take_a_searchs_settings(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("run", "Tiny", "search.alpha=0.5") == 2
    assert "there is no setting 'search.alpha'" in capsys.readouterr().err
