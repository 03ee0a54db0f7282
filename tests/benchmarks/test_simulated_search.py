"""The simulated searches: what is planned, how long it takes, and what assumptions do to it."""

from dataclasses import replace
from itertools import pairwise

import pytest
from tiny import write_tiny_model

from benchmarks.simulation.demand import demand_of
from benchmarks.simulation.jobs import Assumptions, jobs_of, stage_name
from benchmarks.simulation.planned_search import PlannedSearch, plan_search
from benchmarks.simulation.runs import simulate, table_of_runs
from benchmarks.simulation.schedule import gpu_seconds, lengths_to_end, list_schedule
from benchmarks.simulation.stage_seconds import compute_seconds, logged_points
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.pipeline.kinds import StageKind

BARE = Assumptions(start_seconds=0, submit_seconds=0)


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> list[PlannedSearch]:
    """The searches of RTE with 3 and 6 layers, with one seed."""
    workspace = tmp_path_factory.mktemp("planned")
    write_tiny_model(workspace / "model", num_layers=12)
    for split in GLUE_TASKS["RTE"].splits:
        path = workspace / "data_raw" / split.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("any\n", encoding="utf-8")
    return [plan_search(workspace, "RTE", depth, [1]) for depth in (3, 6)]


def test_a_search_is_planned_as_the_papers_protocol(searches: list[PlannedSearch]) -> None:
    rounds = {one.name: one for one in searches[1].rounds}
    students = {
        name: sum(stage.kind is StageKind.STUDENT for stage in one.stages) for name, one in rounds.items()
    }
    assert students == {"finetune": 3, "kd": 27, "pkd-skip": 24, "pkd-last": 24, "final": 4, "report": 0}
    assert [one.name for one in searches[1].rounds] == list(students)
    # The patient rounds share the tokens, the teacher and the states of kd's.
    shared = {stage.address for stage in rounds["kd"].stages} & {
        stage.address for stage in rounds["pkd-last"].stages
    }
    assert {address.stage for address in shared} == {"tokens", "teacher", "teacher-states"}


def test_a_students_time_is_that_of_its_measured_steps(searches: list[PlannedSearch]) -> None:
    kd = next(stage for stage in searches[1].rounds[1].stages if stage.kind is StageKind.STUDENT)
    # 2,241 of 2,490 rows remain: 71 steps of 4.36 ms an epoch, then 249 rows at a third of 4.02 ms for 32.
    assert compute_seconds(kd, is_held_out=True) == pytest.approx(4 * (71 * 4.36e-3 + 249 / 32 * 4.02e-3 / 3))
    assert logged_points(kd, is_held_out=True) == 4 * 71 * 4
    small = next(stage for stage in searches[0].rounds[1].stages if stage.kind is StageKind.STUDENT)
    step = 4.36e-3 - 3 * (7.62e-3 - 4.02e-3) / 6
    assert compute_seconds(small, is_held_out=True) == pytest.approx(
        4 * (71 * step + 249 / 32 * (step - 0.34e-3) / 3)
    )


def test_a_stage_that_two_searches_need_is_one_job_and_a_round_waits_for_the_one_before(
    searches: list[PlannedSearch],
) -> None:
    jobs = jobs_of(searches, BARE)
    names = [job.name for job in jobs]
    assert len(names) == len(set(names))
    assert (
        sum("/teacher-" in name and "states" not in name for name in names) == 2
    )  # held out, and all of train
    schedule = list_schedule(jobs, 100)
    ends = {one.name: max(schedule.ends[stage_name(s)] for s in one.stages) for one in searches[0].rounds}
    starts = {
        one.name: min(schedule.starts[stage_name(s)] for s in one.stages if s.kind is StageKind.STUDENT)
        for one in searches[0].rounds
        if one.name != "report"
    }
    order = ["finetune", "kd", "pkd-skip", "pkd-last", "final"]
    assert all(ends[before] <= starts[after] for before, after in pairwise(order))


def test_rounds_that_need_nothing_of_each_other_overlap_if_they_may(searches: list[PlannedSearch]) -> None:
    today, freer = (
        lengths_to_end(jobs_of(searches, replace(BARE, independent_rounds=free))) for free in (False, True)
    )
    assert max(freer.values()) < max(today.values())
    schedule = list_schedule(jobs_of(searches, replace(BARE, independent_rounds=True)), 1000)
    skip, last = (
        min(schedule.starts[stage_name(s)] for s in one.stages if s.kind is StageKind.STUDENT)
        for one in searches[0].rounds[2:4]
    )
    # Both follow kd at once, but for the time that planning takes.
    planned = sum(one.seconds for one in searches[0].rounds[2:4])
    assert abs(skip - last) <= planned


def test_more_overhead_and_fewer_gpus_never_help(searches: list[PlannedSearch]) -> None:
    by_start = [
        next(iter(simulate(searches, Assumptions(start_seconds=seconds), [8])))
        for seconds in (0.0, 5.0, 40.0)
    ]
    assert by_start[0].first_ready < by_start[1].first_ready < by_start[2].first_ready
    assert by_start[0].efficiency > by_start[1].efficiency > by_start[2].efficiency
    by_gpus = list(simulate(searches, Assumptions(), [1, 8, 64]))
    assert by_gpus[0].first_ready > by_gpus[1].first_ready > by_gpus[2].first_ready
    for run in by_gpus:
        assert run.bound <= min(run.first_ready, run.longest_first)
        assert 0 < run.efficiency <= 1
    assert table_of_runs(by_gpus[:1]).splitlines()[-1].startswith("| 1 | ")


def test_a_shared_gpu_does_in_less_time_what_its_students_do_one_after_the_other(
    searches: list[PlannedSearch],
) -> None:
    alone, shared, no_gain = (
        gpu_seconds(jobs_of(searches, given))
        for given in (
            BARE,
            replace(BARE, students_per_gpu=2),
            replace(BARE, students_per_gpu=2, shared_gain=1.0),
        )
    )
    assert shared < no_gain == pytest.approx(alone)


def test_each_machine_fetches_the_states_that_its_students_read_once(searches: list[PlannedSearch]) -> None:
    jobs = jobs_of(searches, Assumptions())
    row = 12 * 768 * 2
    one_machine = demand_of(searches, list_schedule(jobs, 8))
    # Those of the search and those of the final trainings, each sized as the whole of train.
    assert one_machine.state_bytes == 2 * 2490 * row
    assert demand_of(searches, list_schedule(jobs, 64)).state_bytes > one_machine.state_bytes
    assert one_machine.points == sum(
        logged_points(stage, one.name not in ("final", "report"))
        for stage, one in {
            stage.address: (stage, one)
            for search in searches
            for one in search.rounds
            for stage in one.stages
        }.values()
    )
