"""What each kind of stage needs of a machine, and how it is made to fit the machines that there are."""

from pathlib import Path

import pytest
from tiny import write_tiny_model, write_tiny_task

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import ConfigError
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.needs import Machine, Needs, fitted, needs_of
from pkd_core.pipeline.plan import make_plan
from pkd_core.pipeline.stage import Stage

GIB = 2**30
MIB = 2**20
RAY = RunOptions(placement="ray")


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[StageKind, Stage]:
    """A stage of each kind in a run whose stages have 3 threads."""
    root = tmp_path_factory.mktemp("needs")
    write_tiny_task(root / "data_raw")
    write_tiny_model(root / "model")
    run = build_run_config(
        tasks=["Tiny"], methods=["kd"], model=str(root / "model"), settings={"compute.threads": 3}
    )
    return {one.stage.kind: one.stage for one in make_plan(run, root).stages}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The folder of a model with 5.5 MiB of weights in two files, which count as 6."""
    for number, size in enumerate((5 * MIB, MIB // 2)):
        (tmp_path / f"model-{number}.safetensors").write_bytes(bytes(size))
    (tmp_path / "optimizer.bin").write_bytes(bytes(MIB))
    return tmp_path


def test_on_gpus_each_kind_gets_its_cores_its_part_of_a_gpu_and_its_memory(
    stages: dict[StageKind, Stage], weights: Path
) -> None:
    needs = {
        kind: needs_of(stage, RAY.model_copy(update={"students_per_gpu": 4}), weights, has_gpu=True)
        for kind, stage in stages.items()
    }
    assert needs == {
        StageKind.TOKENS: Needs(1, 0, GIB),
        StageKind.TEACHER: Needs(3, 1, GIB + 36 * MIB),
        StageKind.STATES: Needs(3, 1, GIB + 12 * MIB),
        StageKind.STUDENT: Needs(3, 0.25, GIB + 36 * MIB),
        StageKind.SPEED: Needs(1, 1, GIB),
        StageKind.EVALUATION: Needs(3, 0.25, GIB + 12 * MIB),
        StageKind.DISTANCES: Needs(3, 0.25, GIB + 12 * MIB),
        StageKind.REPORT: Needs(1, 0, GIB),
    }


def test_of_several_processes_each_has_cores_a_gpu_and_memory(
    stages: dict[StageKind, Stage], weights: Path
) -> None:
    options = RAY.model_copy(update={"students_per_gpu": 4, "processes": 2})
    needs = {kind: needs_of(stage, options, weights, has_gpu=True) for kind, stage in stages.items()}
    assert needs[StageKind.TEACHER] == needs[StageKind.STUDENT] == Needs(6, 2, 3 * GIB + 72 * MIB)
    assert needs[StageKind.STATES] == Needs(6, 2, 3 * GIB + 24 * MIB)
    assert needs[StageKind.EVALUATION] == Needs(3, 0.25, GIB + 12 * MIB)
    assert needs_of(stages[StageKind.TEACHER], options, weights, has_gpu=False).gpus == 0


def test_without_gpus_a_timing_has_a_machine_for_itself(
    stages: dict[StageKind, Stage], weights: Path
) -> None:
    assert needs_of(stages[StageKind.SPEED], RAY, weights, has_gpu=False) == Needs(None, 0, GIB)
    assert needs_of(stages[StageKind.STUDENT], RAY, weights, has_gpu=False) == Needs(3, 0, GIB + 36 * MIB)


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        (Needs(3, 0, GIB), Needs(3, 0, GIB)),
        (Needs(9, 0, 99 * GIB), Needs(8, 0, 16 * GIB)),
        (Needs(None, 0, GIB), Needs(8, 0, GIB)),
        (Needs(9, 0.5, 99 * GIB), Needs(2, 0.5, 4 * GIB)),
    ],
)
def test_a_stage_needs_no_more_than_the_largest_able_machine_has(needs: Needs, expected: Needs) -> None:
    machines = [Machine(2, 1, 4 * GIB), Machine(8, 0, 16 * GIB), Machine(0, 0, 64 * GIB)]
    assert fitted(needs, machines, "RTE/teacher") == expected


def test_more_gpus_than_any_machine_has_are_a_mistake() -> None:
    with pytest.raises(
        ConfigError, match=r"^RTE/teacher needs 2 GPUs of one machine, and the largest has 1;"
    ):
        fitted(Needs(1, 2, GIB), [Machine(2, 1, GIB), Machine(2, 1, GIB)], "RTE/teacher")
