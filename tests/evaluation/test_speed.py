"""The speed ratio is the teacher's time over the student's; a fake clock is advanced by fake models."""

from types import SimpleNamespace

import pytest
import torch
from tiny_bert import make_table
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from pkd_core.evaluation import speed
from pkd_core.evaluation.speed import speed_ratio

CPU = torch.device("cpu")


class Clock:
    """A clock that only models advance."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


class TimedModel:
    """Takes the given seconds for each batch of its passes over the batches, and records its calls."""

    def __init__(self, name: str, clock: Clock, log: list[str], seconds: list[float]) -> None:
        self._name = name
        self._clock = clock
        self._log = log
        self._seconds = seconds
        self.sizes: list[int] = []
        self.num_tokens = 0
        self.mode: bool | None = None

    def train(self, mode: bool) -> None:
        self.mode = mode
        self._log.append(self._name)

    def __call__(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> None:
        assert torch.is_inference_mode_enabled()
        assert not self.mode
        self.sizes.append(len(input_ids))
        self.num_tokens += int(attention_mask.sum())
        self._clock.seconds += self._seconds[self._log.count(self._name) - 1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=fake.perf_counter))
    return fake


def test_the_ratio_is_the_median_of_teacher_over_student_without_the_warm_up(clock: Clock) -> None:
    log: list[str] = []
    reported: list[int] = []
    teacher = TimedModel("teacher", clock, log, [90.0, 3.0, 8.0, 50.0])
    student = TimedModel("student", clock, log, [1.0, 1.0, 2.0, 1.0])
    ratio = speed_ratio(student, teacher, make_table(40), 3, CPU, reported.append)
    assert ratio == 4.0
    assert log == ["teacher", "student"] * 4
    assert reported == [0, 1, 2, 3]


def test_both_models_run_the_same_few_padded_batches(clock: Clock) -> None:
    table = make_table(300)
    teacher = TimedModel("teacher", clock, [], [2.0] * 2)
    student = TimedModel("student", clock, [], [1.0] * 2)
    assert speed_ratio(student, teacher, table, 1, CPU) == 2.0
    assert teacher.sizes == student.sizes == [32] * 8 * 2
    assert teacher.num_tokens == student.num_tokens == 2 * table.offsets[256]


def test_a_table_of_fewer_rows_is_run_completely(clock: Clock) -> None:
    student, teacher = (TimedModel(name, clock, [], [1.0] * 2) for name in ("student", "teacher"))
    speed_ratio(student, teacher, make_table(40), 1, CPU)
    assert student.sizes == [32, 8] * 2


def test_on_a_gpu_a_pass_ends_when_the_gpu_has_computed_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu, queued = torch.device("cuda", 0), [0.0]

    class QueuedModel:
        """Returns at once; its seconds pass when the GPU is waited for."""

        def __init__(self, seconds: float) -> None:
            self._seconds = seconds

        def train(self, mode: bool) -> None:
            assert not mode

        def __call__(self, **batch: Tensor) -> None:
            assert {values.device for values in batch.values()} == {gpu}
            queued[0] += self._seconds

    def synchronize(device: torch.device) -> None:
        assert device == gpu
        clock.seconds, queued[0] = clock.seconds + queued[0], 0.0

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert speed_ratio(QueuedModel(1.0), QueuedModel(3.0), make_table(40), 1, gpu) == 3.0


def test_an_error_in_reporting_progress_ends_the_measurement(clock: Clock) -> None:
    student, teacher = (TimedModel(name, clock, [], [1.0]) for name in ("student", "teacher"))

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        speed_ratio(student, teacher, make_table(40), 5, CPU, stop)
    assert student.sizes == [32, 8]
