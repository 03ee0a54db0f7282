"""A search's rounds: what they share, what they keep, what is chosen; and that nothing is trained twice."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny import QUICK_SETTINGS, write_tiny_model, write_tiny_task

from flows.search.survey import survey_search
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.config.search import build_search_config
from pkd_core.config.settings import RunConfig
from pkd_core.errors import TrainingError
from pkd_core.evaluation.result import read_result
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.local import build_stages
from pkd_core.pipeline.plan import Plan, find_inputs, make_plan
from pkd_core.pipeline.search import SearchOutcome, run_search, try_grid
from pkd_core.pipeline.search_plan import Search
from pkd_core.pipeline.search_specs import SearchSpec
from pkd_core.pipeline.specs import EvaluationSpec, StudentSpec, TeacherSpec, TokensSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.observer import LogObserver, Observer
from pkd_core.store.address import StageRecord

GRID = {
    "alpha": "0.2,0.5",
    "temperature": "5,10",
    "learning_rate": "1e-3",
    "beta": "10,100",
    "normalize": "true",
}
OPTIONS = RunOptions(device="cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which nothing was trained."""
    root = tmp_path_factory.mktemp("search")
    write_tiny_task(root / "data_raw")
    write_tiny_model(root / "model")
    return root


def run_config(root: Path, *methods: str, seeds: tuple[int, ...] = (1, 2), **settings: Any) -> RunConfig:
    given = QUICK_SETTINGS | {key.replace("__", "."): value for key, value in settings.items()}
    return build_run_config(
        tasks=["Tiny"], methods=methods, seeds=seeds, model=str(root / "model"), settings=given
    )


def search_of(root: Path, *methods: str, seeds: tuple[int, ...] = (1, 2), **search: Any) -> Search:
    run = run_config(root, *methods, seeds=seeds)
    return Search(run, build_search_config(GRID | search), root, find_inputs(run, root, "cpu"))


class Scores:
    """Builds nothing, and returns a score for each evaluation, by the settings of the model that it reads."""

    def __init__(self, score: Callable[[StudentSpec | TeacherSpec], float]) -> None:
        self.plans: list[Plan] = []
        self._score = score

    def build(self, plan: Plan, _known: Mapping[str, StageRecord]) -> dict[str, StageRecord]:
        self.plans.append(plan)
        stages = {planned.stage.key: planned.stage for planned in plan.stages}
        return {key: self._record(stage, stages) for key, stage in stages.items()}

    def _record(self, stage: Stage, stages: Mapping[str, Stage]) -> StageRecord:
        facts = {}
        if stage.kind is StageKind.EVALUATION:
            spec = stages[stage.inputs["model"]].spec
            assert isinstance(spec, StudentSpec | TeacherSpec)
            facts = {"score": self._score(spec), "speed_ratio": None}
        path = stage.address.folder.as_posix()
        return StageRecord(stage.task, stage.name, stage.fingerprint, "d", path, facts)


def by_distillation(spec: StudentSpec | TeacherSpec) -> float:
    """Score alpha 0.5 and T 10 the highest, then a beta of 100."""
    if isinstance(spec, TeacherSpec) or spec.distill is None:
        return 0.5
    score = 0.6 + 0.1 * (spec.distill.alpha == 0.5) + 0.1 * (spec.distill.temperature == 10)
    return score + 0.1 * (getattr(spec.distill, "beta", 0) == 100) + 0.01 * spec.seed


def searched(
    search: Search, score: Callable[[Any], float] = by_distillation
) -> tuple[SearchOutcome, list[Plan]]:
    scores = Scores(score)
    return run_search(search, scores.build), scores.plans


def stages_of(plan: Plan, kind: StageKind) -> list[Stage]:
    return [planned.stage for planned in plan.stages if planned.stage.kind is kind]


def test_a_round_keeps_the_alpha_and_temperature_that_kd_has_chosen(root: Path) -> None:
    outcome, (kd, skip, _final, _report) = searched(search_of(root, "kd", "pkd-skip"))
    assert len(stages_of(kd, StageKind.STUDENT)) == 4 * 2
    specs = [stage.spec for stage in stages_of(skip, StageKind.STUDENT)]
    tried = {(one.distill.alpha, one.distill.temperature, one.distill.beta) for one in specs}  # type: ignore[union-attr]
    assert tried == {(0.5, 10.0, 10.0), (0.5, 10.0, 100.0)}
    assert outcome.rounds[1].settings == {
        "distill.alpha": 0.5,
        "distill.temperature": 10.0,
        "student.learning_rate": 1e-3,
        "distill.beta": 100.0,
        "distill.normalize": True,
    }
    assert outcome.rounds[0].best.scores == pytest.approx({1: 0.81, 2: 0.82})


def test_points_share_one_division_of_train_one_teacher_and_its_states(root: Path) -> None:
    _, (kd, skip, final, _report) = searched(search_of(root, "kd", "pkd-skip", holdout=0.25, seed=7))
    for kind in (StageKind.TOKENS, StageKind.TEACHER, StageKind.STATES):
        (one,), (other,) = stages_of(kd, kind), stages_of(skip, kind)
        assert one == other
        assert one.trial == "held out"
    (tokens,) = stages_of(kd, StageKind.TOKENS)
    assert isinstance(tokens.spec, TokensSpec)
    assert tokens.spec.model_dump()["holdout"] == {"fraction": 0.25, "seed": 7}
    # What is only for a final comparison is not measured for each point.
    assert stages_of(kd, StageKind.SPEED) == []
    (tokens,) = stages_of(final, StageKind.TOKENS)
    assert "holdout" not in tokens.spec.model_dump()


def test_the_end_is_what_pkd_run_would_train_with_the_chosen_settings(root: Path) -> None:
    outcome, (*_, final, _report) = searched(search_of(root, "finetune", "kd"))
    addresses = {
        planned.stage.address for planned in final.stages if planned.stage.kind is not StageKind.REPORT
    }
    repeated = set()
    for one in outcome.rounds:
        settings = {key.replace(".", "__"): value for key, value in one.settings.items()}
        plan = make_plan(run_config(root, one.method, **settings), root, device="cpu")
        repeated |= {planned.stage.address for planned in plan.stages[:-1]}
    assert addresses == repeated
    assert not any(planned.stage.trial for planned in final.stages)


def test_a_search_on_dev_trains_what_pkd_run_trains(root: Path) -> None:
    _, (kd, *_) = searched(search_of(root, "kd", choose_on="dev"))
    settings = {"distill__alpha": 0.2, "distill__temperature": 5, "student__learning_rate": 1e-3}
    of_run = make_plan(run_config(root, "kd", **settings), root, device="cpu")
    addresses = {planned.stage.address for planned in kd.stages}
    kinds = (StageKind.TOKENS, StageKind.TEACHER, StageKind.STATES, StageKind.STUDENT)
    assert {one.stage.address for one in of_run.stages if one.stage.kind in kinds} <= addresses
    assert {stage.trial for stage in stages_of(kd, StageKind.TEACHER)} == {""}


def test_the_teachers_rate_is_chosen_first_and_used_by_all(root: Path) -> None:
    def by_rate(spec: StudentSpec | TeacherSpec) -> float:
        return 0.9 if spec.training.learning_rate == 2e-3 else 0.5

    search = search_of(root, "kd", teacher_learning_rate="1e-3,2e-3")
    outcome, (teachers, kd, final, _report) = searched(search, by_rate)
    assert [stage.trial for stage in stages_of(teachers, StageKind.TEACHER)] == ["lr=0.001", "lr=0.002"]
    assert stages_of(teachers, StageKind.STUDENT) == []
    for plan in (kd, final):
        (teacher,) = stages_of(plan, StageKind.TEACHER)
        assert isinstance(teacher.spec, TeacherSpec)
        assert teacher.spec.training.learning_rate == 2e-3
    assert outcome.rounds[1].settings["teacher.learning_rate"] == 2e-3


def test_the_report_reads_every_evaluation_and_names_the_winner_by_what_was_chosen_by(root: Path) -> None:
    _, (kd, skip, final, report) = searched(search_of(root, "kd", "pkd-skip"))
    (stage,) = (planned.stage for planned in report.stages)
    evaluations = {
        one.key
        for plan in (kd, skip, final)
        for one in stages_of(plan, StageKind.EVALUATION)
        if isinstance(one.spec, EvaluationSpec)
    }
    assert set(stage.inputs) == evaluations
    assert isinstance(stage.spec, SearchSpec)
    assert [one.method for one in stage.spec.finals] == ["teacher", "kd", "pkd-skip"]
    assert stage.spec.finals[2].command == (
        "pkd run Tiny --methods pkd-skip --student-layers 2 --seeds 1,2 --model model compute.threads=1 "
        "distill.alpha=0.5 distill.beta=100.0 distill.normalize=true distill.temperature=10.0 speed.max_seconds=0.0 "
        "student.learning_rate=0.001 student.num_epochs=1 teacher.num_epochs=1 tokens.max_length=16"
    )


def test_a_round_that_only_chooses_for_others_is_not_trained_on_all_of_train(root: Path) -> None:
    outcome, (*_, final, _report) = searched(search_of(root, "pkd-skip"))
    assert [one.method for one in outcome.rounds] == ["kd", "pkd-skip"]
    assert {stage.name for stage in stages_of(final, StageKind.STUDENT)} == {
        "pkd-skip-2l-s1",
        "pkd-skip-2l-s2",
    }


class Trainer:
    """Builds for real, and dies when a number of stages were computed."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.computed: list[str] = []
        self._dies_after = dies_after

    def build(self, plan: Plan, known: Mapping[str, StageRecord]) -> dict[str, StageRecord]:
        return build_stages(plan, OPTIONS, self._track, known)

    @contextmanager
    def _track(self, stage: Stage, _inputs: Mapping[str, StageRecord], _resumes: bool) -> Iterator[Observer]:
        if len(self.computed) == self._dies_after:
            raise TrainingError("the machine was switched off.")
        yield LogObserver(stage.key)
        self.computed.append(stage.key)


def test_a_search_that_dies_continues_and_trains_nothing_twice(tmp_path: Path) -> None:
    write_tiny_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "model")
    search = search_of(tmp_path, "kd", seeds=(1,), temperature="5", holdout=0.25)
    before, after = Trainer(dies_after=5), Trainer()
    with pytest.raises(TrainingError):
        run_search(search, before.build)
    survey = survey_search(search, try_grid)
    assert [(part.num_trainings, part.num_done) for part in survey.parts] == [(3, 2), (2, None)]
    outcome = run_search(search, after.build)
    computed = Counter(before.computed + after.computed)
    assert set(computed.values()) == {1}
    assert (len(before.computed), len(computed)) == (5, 7 + 9 + 1)
    again = Trainer()
    assert run_search(search, again.build) == outcome
    assert again.computed == []
    survey = survey_search(search, try_grid)
    assert survey.outcome == outcome
    assert [part.num_done for part in survey.parts] == [3, 2]
    # A point was scored on the rows that it was not trained on, and the winner on dev.
    evaluations = [read_result(path.parent) for path in tmp_path.glob("artifacts/Tiny/*/evaluation.json")]
    assert sorted(one.num_dev for one in evaluations) == [12, 12, 24, 24]
    assert (tmp_path / outcome.search_report.path / "search.md").is_file()
