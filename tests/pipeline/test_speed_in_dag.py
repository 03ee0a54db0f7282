"""Speed is measured once for a depth and a machine, and no training's address depends on it."""

from dags import changed, dag

from pkd_core.config.settings import SpeedConfig
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.specs import SpeedSpec

TRAINED = (StageKind.TOKENS, StageKind.TEACHER, StageKind.STATES, StageKind.STUDENT)
COMPARED = {f"evaluation-{method}-6l-s1" for method in ("finetune", "kd", "pkd-skip", "pkd-last")}


def test_each_depth_of_a_task_is_timed_once_for_all_its_methods_and_seeds() -> None:
    stages = dag(tasks=["RTE", "MRPC"], student_layers=[6, 3], seeds=[1, 2])
    timed = {key: stage.spec for key, stage in stages.items() if stage.kind is StageKind.SPEED}
    assert list(timed) == ["RTE/speed-6l", "RTE/speed-3l", "MRPC/speed-6l", "MRPC/speed-3l"]
    assert timed["RTE/speed-3l"] == SpeedSpec(
        num_layers=3, num_teacher_layers=12, machine="AMD EPYC", speed=SpeedConfig()
    )
    read = {stage.inputs["speed"] for key, stage in stages.items() if "evaluation-kd-3l" in key}
    assert read == {"RTE/speed-3l", "MRPC/speed-3l"}


def test_another_machine_is_timed_and_compared_anew_and_trains_nothing() -> None:
    assert changed(dag(), dag(machine="NVIDIA H100")) == {"speed-6l", *COMPARED, "reports/report"}
    assert changed(dag(), dag({"speed.threads": 2})) == {"speed-6l", *COMPARED, "reports/report"}


def test_what_was_trained_by_earlier_versions_is_found_again() -> None:
    found = {key: stage.fingerprint for key, stage in dag().items() if stage.kind in TRAINED}
    assert found == {
        "RTE/tokens": "29066987cfe4d13a",
        "RTE/teacher": "a532c7a953df80c3",
        "RTE/teacher-states": "054e717a6961bc2e",
        "RTE/finetune-6l-s1": "f2ef9622b42f4f07",
        "RTE/kd-6l-s1": "04e60e7fccc82c8c",
        "RTE/pkd-skip-6l-s1": "2b03da8d7bf631a8",
        "RTE/pkd-last-6l-s1": "39ffe18948a169bd",
    }
