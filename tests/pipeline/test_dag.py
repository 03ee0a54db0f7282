"""What a stage's address depends on, and what it does not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dags import HASHES, MODEL, changed, dag

from pkd_core.config.overrides import build_run_config
from pkd_core.config.presets import preset_for
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import ConfigError
from pkd_core.pipeline.dag import build_dag
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.models import Models, PretrainedModel
from pkd_core.pipeline.report_stages import report_stage
from pkd_core.pipeline.specs import EvaluationSpec, ReportSpec, StudentSpec, TeacherSpec

ALL = {key.removeprefix("RTE/") for key in dag()}
REPORT = {"reports/report"}
OF_NO_TEACHER = {"tokens", "speed-6l", "finetune-6l-s1", "evaluation-finetune-6l-s1"}
DISTILLED = {
    f"{prefix}{name}-6l-s1"
    for name in ("kd", "pkd-skip", "pkd-last")
    for prefix in ("", "evaluation-", "distances-")
}


def test_a_task_has_tokens_teacher_states_students_evaluations_and_a_report() -> None:
    assert list(dag(methods=["kd", "pkd-skip"])) == [
        "RTE/tokens",
        "RTE/teacher",
        "RTE/evaluation-teacher",
        "RTE/teacher-states",
        "RTE/speed-6l",
        "RTE/kd-6l-s1",
        "RTE/evaluation-kd-6l-s1",
        "RTE/distances-kd-6l-s1",
        "RTE/pkd-skip-6l-s1",
        "RTE/evaluation-pkd-skip-6l-s1",
        "RTE/distances-pkd-skip-6l-s1",
        "reports/report",
    ]


def test_each_stage_names_the_stages_and_files_that_it_is_made_from() -> None:
    stages = dag(methods=["finetune", "kd"])
    trained = {"tokens": "RTE/tokens", "teacher": "RTE/teacher"}
    evaluated = {"tokens": "RTE/tokens", "speed": "RTE/speed-6l"}
    compared = {"tokens": "RTE/tokens", "states": "RTE/teacher-states"}
    pretrained = {"pretrained": "w1"}
    assert {key: (stage.inputs, stage.sources) for key, stage in stages.items()} == {
        "RTE/tokens": ({}, {"raw/train": "a", "raw/dev": "b", "raw/test": "c", "tokenizer": "t1"}),
        "RTE/teacher": ({"tokens": "RTE/tokens"}, pretrained),
        "RTE/evaluation-teacher": ({"tokens": "RTE/tokens", "model": "RTE/teacher"}, {}),
        "RTE/teacher-states": (trained, {}),
        "RTE/speed-6l": ({"tokens": "RTE/tokens"}, pretrained),
        "RTE/finetune-6l-s1": ({"tokens": "RTE/tokens"}, pretrained),
        "RTE/evaluation-finetune-6l-s1": (evaluated | {"model": "RTE/finetune-6l-s1"}, {}),
        "RTE/kd-6l-s1": ({"tokens": "RTE/tokens", "states": "RTE/teacher-states"}, pretrained),
        "RTE/evaluation-kd-6l-s1": (evaluated | {"model": "RTE/kd-6l-s1"}, {}),
        "RTE/distances-finetune-6l-s1": (compared | {"model": "RTE/finetune-6l-s1"}, pretrained),
        "RTE/distances-kd-6l-s1": (compared | {"model": "RTE/kd-6l-s1"}, pretrained),
        "reports/report": (
            {key: key for key in stages if key.endswith(("teacher", "-s1"))},
            {},
        ),
    }
    areas = {stage.name: stage.address.area for stage in stages.values()}
    assert areas.pop("tokens") == areas.pop("teacher-states") == "data_feat"
    assert set(areas.values()) == {"artifacts"}


def test_every_input_comes_before_the_stage_that_reads_it() -> None:
    seen: set[str] = set()
    for key, stage in dag(
        tasks=["RTE", "MRPC"], seeds=[1, 2], settings={"student.init": "teacher-skip"}
    ).items():
        assert set(stage.inputs.values()) <= seen
        seen.add(key)


def test_the_same_request_gives_the_same_addresses() -> None:
    assert changed(dag(), dag()) == set()


def test_the_temperature_changes_distilled_students_alone() -> None:
    assert changed(dag(), dag({"distill.temperature": 7})) == DISTILLED | REPORT


def test_beta_changes_patient_students_alone() -> None:
    patient = {name for name in DISTILLED if "pkd" in name}
    assert changed(dag(), dag({"distill.beta": 7})) == patient | REPORT


def test_a_teacher_setting_changes_all_but_tokens_and_plain_fine_tuning() -> None:
    assert changed(dag(), dag({"teacher.learning_rate": 1e-4})) == ALL - OF_NO_TEACHER


def test_a_changed_raw_file_changes_every_address() -> None:
    assert changed(dag(), dag(hashes=HASHES | {"train": "z"})) == ALL


def test_new_weights_with_the_same_tokenizer_keep_the_tokens() -> None:
    model = PretrainedModel(
        "bert", Path("elsewhere"), weights="w2", tokenizer="t1", num_layers=12, max_length=512
    )
    assert changed(dag(), dag(model=model)) == ALL - {"tokens"}


def test_the_models_path_is_no_part_of_any_address_and_its_name_part_of_the_reports_alone(
    tmp_path: Path,
) -> None:
    def model_in(place: str, name: str) -> PretrainedModel:
        folder = tmp_path / place / name
        folder.mkdir(parents=True)
        return replace(MODEL, name=f"{folder}/", folder=folder)

    here, moved, renamed = model_in("a", "bert"), model_in("b", "bert"), model_in("c", "other")
    assert (here.short_name, renamed.short_name, MODEL.short_name) == ("bert", "other", "bert")
    assert changed(dag(model=here), dag(model=moved)) == set()
    assert changed(dag(model=here), dag(model=renamed)) == REPORT


def test_an_explicit_default_gives_the_same_addresses() -> None:
    assert changed(dag(), dag({"tokens.max_length": "128"})) == set()


def test_another_seed_adds_students_of_the_same_teacher() -> None:
    one, both = dag(seeds=[1]), dag(seeds=[1, 2])
    shared = one.keys() - {"reports/report"}
    assert all(one[key].fingerprint == both[key].fingerprint for key in shared)
    assert both["RTE/kd-6l-s1"].fingerprint != both["RTE/kd-6l-s2"].fingerprint


def test_plain_fine_tuning_alone_extracts_no_teacher_states_and_is_not_compared_with_them() -> None:
    stages = dag(methods=["finetune"])
    assert "RTE/teacher-states" not in stages
    assert all(stage.kind is not StageKind.DISTANCES for stage in stages.values())


def test_a_student_initialised_from_the_teacher_does_not_depend_on_the_pretrained_model() -> None:
    stages = dag({"student.init": "teacher-skip"})
    for method, states in (("finetune", {}), ("kd", {"states": "RTE/teacher-states"})):
        student = stages[f"RTE/{method}-6l-s1"]
        assert student.inputs == {"tokens": "RTE/tokens", "teacher": "RTE/teacher"} | states
        assert student.sources == {}
        distances = stages[f"RTE/distances-{method}-6l-s1"]
        assert distances.inputs == student.inputs | {"states": "RTE/teacher-states", "model": student.key}
        assert distances.sources == {}


@pytest.mark.parametrize(
    ("init", "num_layers", "layers"),
    [
        ("pretrained-first", 2, (1, 2)),
        ("teacher-first", 3, (1, 2, 3)),
        ("teacher-skip", 6, (2, 4, 6, 8, 10, 12)),
        ("teacher-skip", 1, (12,)),
        ("teacher-skip", 5, (3, 5, 8, 10, 12)),
        ("teacher-skip", 11, (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)),
        ("teacher-skip", 12, tuple(range(1, 13))),
    ],
)
def test_a_student_starts_from_as_many_layers_as_it_has(
    init: str, num_layers: int, layers: tuple[int, ...]
) -> None:
    spec = dag({"student.init": init}, methods=["kd"], student_layers=[num_layers])[
        f"RTE/kd-{num_layers}l-s1"
    ].spec
    assert isinstance(spec, StudentSpec)
    assert spec.initial_layers == layers


def test_the_default_depth_is_half_the_teachers() -> None:
    assert "RTE/kd-6l-s1" in dag(student_layers=None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"student_layers": [13], "methods": ["kd"]},
            "a student of 13 layers is deeper than its teacher of 12; give --student-layers of at most 12.",
        ),
        ({"student_layers": [5], "methods": ["pkd-skip"]}, "pkd-skip with 5 student layers: "),
        (
            {"settings": {"tokens.max_length": 65}, "model": replace(MODEL, max_length=64)},
            "tokens.max_length of 65 is more than the 64 positions that bert has; set tokens.max_length=64.",
        ),
    ],
)
def test_what_does_not_fit_the_teacher_is_refused_before_anything_runs(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        dag(**values)
    assert str(caught.value).startswith(message)
    assert str(caught.value) == message or message.endswith(": ")


def test_a_student_may_be_as_deep_as_its_teacher_and_a_text_as_long_as_the_model_allows() -> None:
    stages = dag({"tokens.max_length": 512}, student_layers=[12], methods=["finetune", "kd"])
    assert "RTE/kd-12l-s1" in stages
    assert stages["RTE/tokens"].config["tokens"] == {"max_length": 512}


def test_a_report_names_failures_and_the_presets_of_its_evaluations_with_what_overrides_them() -> None:
    values = {
        "distill.temperature": "7",
        "student.learning_rate": "1e-4",
        "tokens.max_length": "64",
    }
    config = build_run_config(
        tasks=["RTE"], methods=["finetune", "kd"], student_layers=[6], seeds=[1], settings=values
    )
    model = replace(MODEL, num_layers=24)
    stages = build_dag(config, [GLUE_TASKS["RTE"]], {"RTE": HASHES}, Models(model), "AMD EPYC")
    evaluations = [stage for stage in stages if stage.kind is StageKind.EVALUATION]
    stage = report_stage(config, evaluations, {"RTE/pkd-skip-6l-s1": "no memory"}, Models(model))
    finetune, kd = (preset_for("RTE", method, 6, 24).source for method in ("finetune", "kd"))
    presets = {
        "RTE/evaluation-teacher": preset_for("RTE", "teacher", 24, 24).source,
        "RTE/evaluation-finetune-6l-s1": f"{finetune}, but for student.learning_rate",
        "RTE/evaluation-kd-6l-s1": f"{kd}, but for distill.temperature, student.learning_rate",
    }
    assert stage.spec == ReportSpec(
        base_model="bert",
        base_model_digest="w1",
        presets=presets,
        failures={"RTE/pkd-skip-6l-s1": "no memory"},
    )
    assert (stage.key, stage.inputs) == ("reports/report", {key: key for key in presets})
    assert isinstance(stages[-1].spec, ReportSpec)
    assert (stages[-1].spec.presets, stages[-1].spec.failures) == (presets, {})


@pytest.mark.parametrize(
    ("num_layers", "method"), [(6, "pkd-skip"), (3, "pkd-last"), (3, "kd"), (6, "finetune")]
)
def test_a_student_has_the_published_settings_of_its_own_task_method_and_depth(
    num_layers: int, method: str
) -> None:
    stages = dag(tasks=["QNLI"], methods=[method], student_layers=[num_layers])
    spec = stages[f"QNLI/{method}-{num_layers}l-s1"].spec
    assert isinstance(spec, StudentSpec)
    published = preset_for("QNLI", method, num_layers, 12).settings
    for key, value in published.items():
        section, _, name = key.partition(".")
        assert getattr(spec.training if section == "student" else spec.distill, name) == value, key


def test_a_teacher_has_the_published_settings_of_its_own_depth() -> None:
    spec = dag()["RTE/teacher"].spec
    assert isinstance(spec, TeacherSpec)
    published = preset_for("RTE", "teacher", 12).settings
    assert spec.training.learning_rate == published["teacher.learning_rate"]
    assert (spec.metric, spec.num_layers) == ("accuracy", 12)


def test_an_evaluation_has_all_metrics_of_its_task_and_the_models_origin() -> None:
    stages = dag(tasks=["MRPC"], methods=["kd"])
    spec = stages["MRPC/evaluation-kd-6l-s1"].spec
    assert isinstance(spec, EvaluationSpec)
    assert spec.metrics == ("accuracy", "f1")
    assert (spec.method, spec.num_layers, spec.seed) == ("kd", 6, 1)
    assert stages["MRPC/evaluation-kd-6l-s1"].inputs == {
        "tokens": "MRPC/tokens",
        "model": "MRPC/kd-6l-s1",
        "speed": "MRPC/speed-6l",
    }
    assert stages["MRPC/evaluation-teacher"].inputs == {"tokens": "MRPC/tokens", "model": "MRPC/teacher"}


def test_each_method_is_addressed_by_what_it_reads_alone() -> None:
    stages = dag()
    finetune, kd, patient = (stages[f"RTE/{name}-6l-s1"].config for name in ("finetune", "kd", "pkd-skip"))
    assert "distill" not in finetune
    assert "layer_map" not in finetune
    assert kd["distill"].keys() == {"alpha", "temperature", "distillation_reduction"}
    assert kd["layer_map"] == []
    assert patient["distill"].keys() == {*kd["distill"], "beta", "normalize", "patience_reduction"}
    assert patient["layer_map"] == [[1, 2], [2, 4], [3, 6], [4, 8], [5, 10]]
