"""Students from another pretrained model than the teacher's: their stages, tokens, refusals, and what is saved."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from dags import HASHES, MODEL, dag
from safetensors import safe_open
from tiny_bert import tiny_config
from transformers import AutoModelForSequenceClassification

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.data.token_table import TokenTable
from pkd_core.errors import ConfigError, ModelError
from pkd_core.evaluation.distances_result import read_distances
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.models import Models, find_model, find_models
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.specs import ReportSpec, StudentSpec
from pkd_core.pipeline.stages import student, train_and_save
from pkd_core.training.loop import Training, TrainingResult, train

LARGE = replace(MODEL, name="large", folder=Path("large"), weights="w24", num_layers=24)
BASE = replace(MODEL, name="base", folder=Path("base"), weights="w12")
CASED = replace(BASE, name="cased", tokenizer="t2")
METHODS = ("finetune", "kd", "pkd-skip", "pkd-last")


def addresses(**run: Any) -> dict[str, str]:
    return {key: stage.fingerprint for key, stage in dag(**run).items()}


def test_teacher_states_and_tokens_are_those_of_a_run_without_another_model() -> None:
    alone, other = addresses(model=LARGE), addresses(model=LARGE, student_model=BASE)
    assert alone.keys() == other.keys()
    same = {key.removeprefix("RTE/") for key in alone if alone[key] == other[key]}
    assert same == {"tokens", "teacher", "evaluation-teacher", "teacher-states"}


def test_a_fine_tuned_student_is_that_of_a_run_with_its_own_model_as_the_only_one() -> None:
    for base in (BASE, CASED):
        other, alone = dag(model=LARGE, student_model=base), dag(model=base)
        assert other["RTE/finetune-6l-s1"].address == alone["RTE/finetune-6l-s1"].address
        assert other["RTE/kd-6l-s1"].address != alone["RTE/kd-6l-s1"].address


def test_students_and_their_speed_are_made_from_their_own_model() -> None:
    stages = dag(model=LARGE, student_model=BASE)
    assert stages["RTE/pkd-skip-6l-s1"].sources == {"pretrained": "w12"}
    assert stages["RTE/speed-6l"].sources == {"pretrained": "w12", "teacher-pretrained": "w24"}
    assert {key for key, stage in stages.items() if stage.student_model == BASE} == {
        "RTE/speed-6l",
        *(f"RTE/{prefix}{method}-6l-s1" for method in METHODS for prefix in ("", "distances-")),
    }
    spec = stages["reports/report"].spec
    assert isinstance(spec, ReportSpec) and spec.student_base is not None
    assert (spec.base_model, spec.base_model_digest) == ("large", "w24")
    base = spec.student_base
    assert (base.name, base.digest, base.num_layers, base.remark) == ("base", "w12", 12, "")
    alone = dag(model=LARGE)["reports/report"]
    assert "student_base" not in alone.config


def test_with_another_tokenizer_students_have_tokens_of_their_own() -> None:
    stages = dag(model=LARGE, student_model=CASED)
    assert stages["RTE/student-tokens"].sources == stages["RTE/tokens"].sources | {"tokenizer": "t2"}
    assert stages["RTE/student-tokens"].address == dag(model=CASED)["RTE/tokens"].address
    readers = {key for key, stage in stages.items() if "RTE/student-tokens" in stage.inputs.values()}
    prefixes = ("", "evaluation-", "distances-")
    assert readers == {
        "RTE/speed-6l",
        *(f"RTE/{prefix}{method}-6l-s1" for method in METHODS for prefix in prefixes),
    }
    kd = stages["RTE/kd-6l-s1"].inputs
    assert kd == {"tokens": "RTE/student-tokens", "states": "RTE/teacher-states"}
    assert stages["RTE/teacher-states"].inputs["tokens"] == "RTE/tokens"


def test_a_depth_is_half_that_of_the_students_model_unless_it_is_given() -> None:
    assert "RTE/kd-6l-s1" in dag(model=LARGE, student_model=BASE, student_layers=None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"settings": {"student.init": "teacher-skip"}},
            "teacher-skip (student.init or distill.init) takes the students' layers from the teacher, and "
            "--student-model from base; give one of the two.",
        ),
        (
            {"settings": {"distill.init": "teacher-first"}, "methods": ["kd"]},
            "teacher-first (student.init or distill.init) takes the students' layers from the teacher, and "
            "--student-model from base; give one of the two.",
        ),
        (
            {"student_layers": [13], "methods": ["kd"]},
            "a student of 13 layers needs as many in base, which has 12; give --student-layers of at most 12.",
        ),
        (
            {"student_model": CASED, "settings": {"transfer.num_copies": 1}},
            "texts without labels need one tokenizer for teacher and students, and cased has another one than large; "
            "set transfer.unlabelled=false and transfer.num_copies=0.",
        ),
        (
            {"student_model": CASED, "hashes": HASHES | {"unlabelled": "u"}},
            "texts without labels need one tokenizer for teacher and students, and cased has another one than large; "
            "set transfer.unlabelled=false and transfer.num_copies=0.",
        ),
        (
            {"student_model": replace(BASE, max_length=64)},
            "tokens.max_length of 128 is more than the 64 positions that base has; set tokens.max_length=64.",
        ),
    ],
)
def test_what_does_not_fit_the_students_model_is_refused_before_anything_runs(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        dag(**{"model": LARGE, "student_model": BASE} | values)
    assert str(caught.value) == message


@pytest.mark.parametrize("convention", ["default", "authors", "paper"])
@pytest.mark.parametrize(
    ("num_layers", "skip", "last"),
    [
        (12, range(2, 24, 2), range(13, 24)),
        (6, range(4, 24, 4), range(19, 24)),
        (3, (8, 16), (22, 23)),
    ],
)
def test_students_of_a_24_layer_teacher_are_matched_as_in_the_papers_formulas_and_in_the_release(
    num_layers: int, skip: tuple[int, ...], last: tuple[int, ...], convention: str
) -> None:
    stages = dag(model=LARGE, student_model=BASE, student_layers=[num_layers], convention=convention)
    for method, teacher_layers in (("pkd-skip", skip), ("pkd-last", last)):
        spec = stages[f"RTE/{method}-{num_layers}l-s1"].spec
        assert isinstance(spec, StudentSpec)
        assert spec.layer_map == tuple(enumerate(teacher_layers, start=1))
        assert spec.initial_layers == tuple(range(1, num_layers + 1))


def write_model(folder: Path, monkeypatch: pytest.MonkeyPatch, num_layers: int, **config: Any) -> str:
    with monkeypatch.context() as patch:
        patch.setattr(tiny, "tiny_config", lambda *args, **values: tiny_config(*args, **values | config))
        tiny.write_tiny_model(folder, num_layers)
    return str(folder)


def write_cased(folder: Path, monkeypatch: pytest.MonkeyPatch, num_layers: int) -> str:
    """Write a model whose tokenizer keeps capitals and knows two words more."""
    monkeypatch.setattr(tiny, "WORDS", ("Good", "quite", *tiny.WORDS))
    name = write_model(folder, monkeypatch, num_layers)
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(values), encoding="utf-8")
    return name


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Training]:
    """The students' trainings; the teacher's is real."""
    seen: list[Training] = []

    def spy(training: Training) -> TrainingResult:
        if training.objective is not None:
            seen.append(training)
        return train(training)

    monkeypatch.setattr(train_and_save, "train", spy)
    return seen


def run_students(
    root: Path, model: str, student_model: str, with_report: bool = False
) -> tuple[Plan, dict[str, Any]]:
    tiny.write_tiny_task(root / "data_raw", num_train=16, num_dev=8)
    run = build_run_config(
        tasks=["Tiny"],
        methods=["pkd-skip"],
        student_layers=[2],
        seeds=[1],
        model=model,
        student_model=student_model,
        settings=tiny.QUICK_SETTINGS,
    )
    plan = make_plan(run, root, device="cpu")
    (last,) = (number for number, one in enumerate(plan.stages) if one.stage.name == "pkd-skip-2l-s1")
    wanted = plan if with_report else replace(plan, stages=plan.stages[: last + 1])
    return plan, run_plan(wanted, RunOptions(device="cpu"))


def test_a_narrower_student_is_projected_while_it_is_trained_and_saved_without_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings: list[Training]
) -> None:
    large = write_model(tmp_path / "large", monkeypatch, 4, hidden_size=48)
    base = write_model(tmp_path / "base", monkeypatch, 3)
    _, records = run_students(tmp_path, large, base)
    (training,) = trainings
    assert training.objective is not None and training.objective.projections is not None
    assert [tuple(matrix.shape) for matrix in training.objective.projections.matrices_DE] == [(48, 32)]
    folder = tmp_path / records["Tiny/pkd-skip-2l-s1"].path
    loaded = AutoModelForSequenceClassification.from_pretrained(folder)
    assert (loaded.config.hidden_size, loaded.config.num_hidden_layers) == (32, 2)
    with safe_open(folder / "model.safetensors", framework="numpy") as weights:
        assert set(weights.keys()) == loaded.state_dict().keys()


def test_an_equally_wide_student_has_no_projections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings: list[Training]
) -> None:
    monkeypatch.setattr(student, "Projections", None)
    large, base = (
        write_model(tmp_path / name, monkeypatch, layers) for name, layers in (("large", 4), ("base", 3))
    )
    run_students(tmp_path, large, base)
    (training,) = trainings
    assert training.objective is not None and training.objective.projections is None
    assert training.trained is training.model


def test_a_student_with_another_tokenizer_learns_from_states_joined_by_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings: list[Training]
) -> None:
    large = write_model(tmp_path / "large", monkeypatch, 4, hidden_size=48)
    cased = write_cased(tmp_path / "cased", monkeypatch, 3)
    plan, records = run_students(tmp_path, large, cased, with_report=True)
    (training,) = trainings
    tokens, own = (
        TokenTable.load(tmp_path / records[f"Tiny/{name}"].path, "train")
        for name in ("tokens", "student-tokens")
    )
    assert own.example_ids_R.tolist() == tokens.example_ids_R.tolist()
    assert own.input_ids.tolist() == training.train_table.input_ids.tolist() != tokens.input_ids.tolist()
    folder = tmp_path / records["Tiny/pkd-skip-2l-s1"].path
    assert (folder / "tokenizer.json").read_bytes() == (Path(cased) / "tokenizer.json").read_bytes()
    distances = read_distances(tmp_path / records["Tiny/distances-pkd-skip-2l-s1"].path)
    assert (distances.num_examples, distances.layers) == (16, []), "the widths differ"
    page = (tmp_path / records["reports/report"].path / "report.md").read_text(encoding="utf-8")
    assert "Not measured: the students' states have another width than the teacher's, " in page
    assert "Students' base model: `cased` (weights `" in page
    assert "the teacher in small letters, students as they are written." in page
    assert not make_plan(plan.run, tmp_path, device="cpu").todo


def test_a_model_of_the_same_bytes_is_no_other_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_model(tmp_path / "model", monkeypatch, 2)
    assert find_models(model, None) == find_models(model, model) == Models(find_model(model))
    other = write_model(tmp_path / "other", monkeypatch, 3)
    assert find_models(model, other).other == find_model(other)


def test_a_hub_name_of_the_students_model_offline_names_its_own_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path / "model", monkeypatch, 2)
    with pytest.raises(ModelError, match=r"^the model nobody/bert is not on this .* with --student-model\.$"):
        find_models(model, "nobody/bert")
