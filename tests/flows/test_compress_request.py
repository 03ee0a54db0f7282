"""`pkd compress` on the command line: what is typed arrives, its file repeats it, and mistakes end in a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import run_pkd, tree
from own_files import read, rows_of, write_csv
from prefect.utilities.callables import parameter_schema

import flows.cli.compress
from flows.compress.flow import pkd_compress
from flows.compress.request import FIELDS, CompressRequest
from flows.run_file import read_run_file, write_run_file
from flows.run_name import describe_compression
from flows.service.serve import compress_parameters
from flows.workspace import given_workspace
from pkd_core.config.settings import METHODS
from pkd_core.own_data.write import write_task

TYPED = (
    *("compress", "reviews.csv", "--text", "title", "--text", "body", "--label", "stars", "--name", "Stars"),
    *(
        "--teacher",
        "mine",
        "--latency",
        "20ms",
        "--deploy-format",
        "onnx-float32",
        "--seeds",
        "1-3",
        "--methods",
        "kd",
    ),
    *(
        "--dev",
        "dev.csv",
        "--unlabelled",
        "more.csv",
        "--split-seed",
        "7",
        "--out",
        "small",
        "--device",
        "cpu",
    ),
    *("--student-model", "tiny", "distill.alpha=0.9", "student.num_epochs=2"),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[CompressRequest]:
    """The requests that the command line would run, in a folder of their own; nothing is run."""
    found: list[CompressRequest] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(flows.cli.compress, "compress", lambda request, _amount: found.append(request))
    return found


def test_what_is_typed_arrives(asked: list[CompressRequest]) -> None:
    assert run_pkd(*TYPED) == 0
    (request,) = asked
    data, config = request.data, request.config
    assert (data.data, data.texts, data.label, data.name) == (
        Path("reviews.csv"),
        ("title", "body"),
        ("stars",),
        "Stars",
    )
    assert (data.dev, data.test, data.unlabelled, data.seed) == (Path("dev.csv"), None, Path("more.csv"), 7)
    assert (config.teachers, config.latency_ms, config.deploy_format) == (("mine",), 20.0, "onnx-float32")
    assert (config.seeds, config.methods, config.student_model) == ((1, 2, 3), ("kd",), "tiny")
    assert config.settings == {"distill.alpha": 0.9, "student.num_epochs": 2}
    assert (request.out, request.options.device) == (Path("small"), "cpu")


@pytest.mark.parametrize("typed", ["20", "20ms", "20 ms", "20.0"])
def test_a_latency_is_in_milliseconds_with_or_without_the_unit(
    typed: str, asked: list[CompressRequest]
) -> None:
    assert run_pkd("compress", "reviews.csv", "--latency", typed) == 0
    assert asked[0].config.latency_ms == 20.0


def test_parameters_and_files_repeat_a_compression_from_every_folder(
    asked: list[CompressRequest], tmp_path: Path
) -> None:
    (tmp_path / "reviews.csv").write_text("", encoding="utf-8")
    (tmp_path / "mine").mkdir()
    assert run_pkd(*TYPED) == 0
    parameters = asked[0].parameters()
    sent = json.loads(json.dumps(parameters))
    assert CompressRequest.build(sent, given_workspace(sent)).parameters() == parameters
    assert (parameters["data"], parameters["teachers"]) == (
        str(tmp_path / "reviews.csv"),
        [str(tmp_path / "mine")],
    )
    assert (parameters["out"], parameters["student_model"]) == (str(tmp_path / "small"), "tiny")
    write_run_file(parameters, tmp_path / "run.toml")
    assert run_pkd("compress", "--config", str(tmp_path / "run.toml")) == 0
    assert asked[1].parameters() == parameters
    assert (
        run_pkd(
            "compress", "--config", str(tmp_path / "run.toml"), "--student-layers", "3", "distill.alpha=1"
        )
        == 0
    )
    changed = asked[2].config
    assert (changed.latency_ms, changed.student_layers) == (None, 3)
    assert changed.settings == {"distill.alpha": 1.0, "student.num_epochs": 2}
    assert "latency_ms" in read_run_file(tmp_path / "run.toml", tuple(FIELDS))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "give a file of texts and labels, such as `pkd compress reviews.csv`"),
        (
            ("a.csv", "b.csv"),
            "one file or task is compressed at a time, got a.csv, b.csv; give further files with",
        ),
        (("a.csv", "--latency", "20", "--student-layers", "3"), "give --latency or --student-layers"),
        (("a.csv", "--latency", "fast"), "latency_ms cannot be 'fast': expected milliseconds, such as 20ms"),
        (("a.csv", "--latency", "20s"), "latency_ms cannot be '20s': expected milliseconds, such as 20ms"),
        (("a.csv", "--latency", "-1ms"), "latency_ms cannot be '-1': input should be greater than"),
        (
            ("a.csv", "--deploy-format", "tflite"),
            "'tflite' is not one of 'onnx-int8', 'onnx-float32', 'torch-float32'",
        ),
        (("a.csv", "distill.alfa=1"), "there is no setting 'distill.alfa': did you mean distill.alpha"),
        (("a.csv", "--json"), "--json is for --plan"),
        (("a.csv", "--config", "none.toml"), "there is no file none.toml"),
        (("a.csv", "--label", "x", "--name", "a", "--name", "b"), "--name is given 2 times; give it once"),
    ],
)
def test_a_mistake_ends_in_a_sentence(
    words: tuple[str, ...], sentence: str, asked: list[CompressRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("compress", *words) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert asked == []


def test_the_file_of_a_compression_is_not_one_of_a_run(
    asked: list[CompressRequest], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd(*TYPED) == 0
    write_run_file(asked[0].parameters(), tmp_path / "run.toml")
    assert run_pkd("run", "--config", "run.toml") == 2
    assert "run.toml: there is no key 'data'" in capsys.readouterr().err


def test_a_folder_with_other_files_is_refused_before_anything_is_read(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "thesis").mkdir()
    (workspace / "thesis" / "main.tex").write_text("", encoding="utf-8")
    before = tree(workspace)
    assert run_pkd("compress", "Tiny", "--out", "thesis", "--plan") == 2
    assert "--out needs a new or empty folder" in capsys.readouterr().err
    assert tree(workspace) == before


def test_a_task_is_named_without_what_describes_a_file(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("compress", "Tiny", "--label", "stars", "--plan") == 2
    assert (
        "Tiny is a task, whose task.toml says what its files and columns are, got label too"
        in capsys.readouterr().err
    )


def test_a_plan_shows_the_stages_and_computes_nothing(
    workspace: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("compress", "Tiny", "--model", str(tiny_model), "--student-layers", "3", "--plan")
    before = tree(workspace)
    assert run_pkd(*words) == 0
    shown = capsys.readouterr().out
    assert "Tiny/kd-3l-s42" in shown
    assert "What comes after these stages is known when they are done." in shown
    assert run_pkd(*words, "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["task"], plan["is_done"], plan["counts"]) == (
        "Tiny",
        False,
        {"missing": len(plan["stages"])},
    )
    assert tree(workspace) == before


def test_a_plan_keeps_nothing_of_a_file_and_changes_no_task_that_was_made_of_another(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_csv(tmp_path / "reviews.csv", rows_of(60))
    words = ("compress", "reviews.csv", "--model", str(tiny_model), "--student-layers", "3", "--plan")
    before = tree(tmp_path)
    assert run_pkd(*words) == 0
    shown = capsys.readouterr().out
    assert "48 train, 6 dev, 6 test" in shown
    assert tree(tmp_path) == before

    # What a compression of it would be given has the same addresses.
    assert write_task(read(path), tmp_path / "data_raw") == "reviews"
    before = tree(tmp_path)
    assert run_pkd(*words) == 0
    assert capsys.readouterr().out == shown
    write_csv(path, rows_of(80))
    before |= tree(tmp_path)
    assert run_pkd(*words) == 0
    assert "65 train, 7 dev, 8 test" in capsys.readouterr().out
    assert tree(tmp_path) == before

    (tmp_path / "data_raw" / "reviews" / "task.toml").write_text("", encoding="utf-8")
    assert run_pkd(*words) == 2
    assert "reviews is there already, and was not made from your files by pkd" in capsys.readouterr().err


def test_the_form_has_a_typed_and_described_field_for_everything() -> None:
    schema = parameter_schema(pkd_compress.fn).model_dump()
    fields: dict[str, Any] = schema["properties"]
    assert fields.keys() == {*FIELDS, "workspace"}
    assert schema["required"] == ["data"]
    assert fields["deploy_format"]["enum"] == ["onnx-int8", "onnx-float32", "torch-float32"]
    assert fields["methods"]["items"]["enum"] == list(METHODS)
    assert fields["latency_ms"]["anyOf"] == [
        {"type": "number", "minimum": 1e-30, "maximum": 1e30},
        {"type": "null"},
    ]
    assert [name for name, field in fields.items() if not field.get("description")] == []
    assert "student.num_epochs" in schema["definitions"]["settings"]["properties"]


def test_a_services_defaults_for_compressions_are_not_its_tasks() -> None:
    of_runs = {
        "tasks": ["RTE"],
        "seeds": [1],
        "model": "mine",
        "device": "cpu",
        "workspace": "/w",
        "convention": "paper",
    }
    assert compress_parameters(of_runs) == {"model": "mine", "device": "cpu", "workspace": "/w"}


def test_a_flow_run_is_named_by_the_data_and_what_is_made_of_them() -> None:
    values = {
        "data": "/data/reviews.csv",
        "student_layers": 3,
        "latency_ms": None,
        "teachers": ["/models/mine"],
    }
    assert describe_compression(values) == "compress reviews.csv: student_layers=3, teacher mine"
    assert describe_compression({"teachers": 3}) == "compress "
