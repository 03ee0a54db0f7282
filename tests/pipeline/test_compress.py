"""A compression's rounds: what they train, which student is chosen, and that nothing is computed twice."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tiny import QUICK_SETTINGS, write_tiny_model, write_tiny_task

from pkd_core.config.compress import build_compress_config
from pkd_core.errors import ConfigError
from pkd_core.latency.candidates import Candidates, student_name, write_candidates
from pkd_core.latency.result import LatencyResult, LatencyRow
from pkd_core.pipeline.compress import run_compression
from pkd_core.pipeline.compress_plan import CompressionRun, find_compression
from pkd_core.pipeline.latency_specs import LatencyCandidatesSpec
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.specs import EvaluationSpec, StudentSpec
from pkd_core.store.address import StageRecord


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which nothing was trained."""
    root = tmp_path_factory.mktemp("compress")
    write_tiny_task(root / "data_raw")
    write_tiny_model(root / "model")
    return root


def compression_of(root: Path, **values: Any) -> CompressionRun:
    settings = QUICK_SETTINGS | values.pop("settings", {})
    config = build_compress_config(model=str(root / "model"), settings=settings, **values)
    return find_compression(config, "Tiny", root, "cpu")


class Scores:
    """Builds nothing, and returns a score for each evaluation."""

    def __init__(self, score: Callable[[EvaluationSpec], float]) -> None:
        self.plans: list[Plan] = []
        self._score = score

    def build(self, plan: Plan, known: Mapping[str, StageRecord]) -> dict[str, StageRecord]:
        self.plans.append(plan)
        records = dict(known)
        for stage in (planned.stage for planned in plan.stages):
            facts: dict[str, Any] = {}
            if isinstance(stage.spec, EvaluationSpec):
                facts = {"score": self._score(stage.spec), "speed_ratio": None}
            path = stage.address.folder.as_posix()
            records[stage.key] = StageRecord(stage.task, stage.name, stage.fingerprint, "d", path, facts)
        return records


def test_the_students_are_those_of_pkd_run_with_the_recommended_settings(root: Path) -> None:
    compression = compression_of(root, seeds=(1, 2))
    plan = compression.plan_students(2)
    run = compression.run(2)
    assert plan.stages == make_plan(run, root, device="cpu").stages
    assert run.settings["student.learning_rate"] == 2e-4
    # 48 rows: as many passes as there may be, but for what was given.
    assert (compression.recommended["student.num_epochs"], run.settings["student.num_epochs"]) == (30, 1)


def test_the_method_with_the_best_mean_on_dev_is_chosen_and_of_it_the_best_seed(root: Path) -> None:
    scores = {
        ("finetune", 1): 0.95,
        ("finetune", 2): 0.70,
        ("kd", 1): 0.84,
        ("kd", 2): 0.86,
        ("teacher", None): 0.99,
    }
    built = Scores(lambda spec: scores[spec.method, spec.seed])
    outcome = run_compression(compression_of(root, seeds=(1, 2)), built.build)
    assert outcome.student.name == "kd-2l-s2"
    assert isinstance(outcome.student.spec, StudentSpec)
    assert outcome.report.stage == "report"


@pytest.mark.parametrize(
    ("methods", "chosen"),
    [
        (("finetune", "kd", "pkd-skip"), "kd-2l-s5"),
        (("pkd-skip", "finetune", "kd"), "pkd-skip-2l-s5"),
        (("finetune",), "finetune-2l-s5"),
    ],
)
def test_of_equals_the_first_that_distils_is_chosen(
    methods: tuple[str, ...], chosen: str, root: Path
) -> None:
    compression = compression_of(root, seeds=(5, 3), methods=methods)
    assert run_compression(compression, Scores(lambda _: 0.5).build).student.name == chosen


def test_layers_are_those_that_are_given_or_half_of_the_models(root: Path) -> None:
    for layers, expected in ((None, 2), (3, 3)):
        built = Scores(lambda _: 0.5)
        assert (
            run_compression(compression_of(root, student_layers=layers), built.build).num_layers == expected
        )
        students = {
            one.stage.spec.num_layers
            for one in built.plans[0].stages
            if isinstance(one.stage.spec, StudentSpec)
        }
        assert students == {expected}


class Timed(Scores):
    """Scores that are equal, and times that an untrained student of a depth takes: as many ms as it has layers."""

    def __init__(self) -> None:
        super().__init__(lambda _: 0.5)

    def build(self, plan: Plan, known: Mapping[str, StageRecord]) -> dict[str, StageRecord]:
        for stage in (planned.stage for planned in plan.stages):
            if isinstance(stage.spec, LatencyCandidatesSpec):
                rows = [
                    LatencyRow(student_name(depth), stage.spec.format, *[float(depth)] * 5, 20, 1, 1)
                    for depth in stage.spec.depths
                ]
                folder = plan.workspace / stage.address.folder
                folder.mkdir(parents=True)
                latency = LatencyResult(tuple(rows), "AMD EPYC", 1, 32, 1.0)
                write_candidates(folder, Candidates(stage.spec.depths, stage.spec.format, 16, latency))
        return super().build(plan, known)


def test_the_deepest_student_within_the_latency_is_trained(tmp_path: Path) -> None:
    write_tiny_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "model")
    timed, sentences = Timed(), list[str]()
    outcome = run_compression(compression_of(tmp_path, latency_ms="3.5ms"), timed.build, sentences.append)
    assert (outcome.num_layers, outcome.student.name) == (3, "kd-3l-s42")
    candidates, students, _final = timed.plans
    (stage,) = (planned.stage for planned in candidates.stages)
    assert isinstance(stage.spec, LatencyCandidatesSpec)
    assert (stage.spec.depths, stage.spec.format, stage.spec.max_length) == ((1, 2, 3), "onnx-int8", 16)
    assert students.run.student_layers == (3,)
    assert sentences[0].startswith(
        "3 layers: the deepest student within 3.5 ms, with a p99 of 3.00 ms in onnx-int8"
    )


def test_a_latency_that_no_student_keeps_to_ends_before_any_training(tmp_path: Path) -> None:
    write_tiny_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "model")
    timed = Timed()
    with pytest.raises(ConfigError, match=r"the shallowest one, of 1 layer, has 1\.00 ms in torch-float32"):
        run_compression(compression_of(tmp_path, latency_ms=0.5, deploy_format="torch-float32"), timed.build)
    assert len(timed.plans) == 1


def test_texts_without_labels_are_counted(tmp_path: Path) -> None:
    write_tiny_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "model")
    assert compression_of(tmp_path).recommended["distill.alpha"] == 0.7
    texts = ["sentence", *("the film was good" for _ in range(10_000))]
    (tmp_path / "data_raw" / "Tiny" / "unlabelled.tsv").write_text("\n".join(texts) + "\n", encoding="utf-8")
    recommended = compression_of(tmp_path).recommended
    assert (recommended["distill.alpha"], recommended["distill.num_epochs"]) == (1.0, 5)


@pytest.mark.parametrize(
    ("settings", "has_other_model", "init"),
    [
        ({}, False, "teacher-skip"),
        ({"student.init": "teacher-first"}, False, "teacher-first"),
        ({}, True, "pretrained-first"),
    ],
)
def test_students_take_layers_of_the_teacher_unless_it_has_none_for_them_or_the_user_says_so(
    root: Path, tmp_path: Path, settings: dict[str, Any], has_other_model: bool, init: str
) -> None:
    if has_other_model:
        write_tiny_model(tmp_path / "other", num_layers=3)
    other = str(tmp_path / "other") if has_other_model else None
    compression = compression_of(root, settings=settings, student_model=other)
    stages = {planned.stage.key: planned.stage for planned in compression.plan_students(2).stages}
    for student in (stages["Tiny/finetune-2l-s42"], stages["Tiny/kd-2l-s42"]):
        assert isinstance(student.spec, StudentSpec)
        assert student.spec.training.init == init
        assert ("teacher" in student.inputs) == (init != "pretrained-first")
