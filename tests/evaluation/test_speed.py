"""A measured speed is the teacher's time over the student's; a fake clock is advanced by fake models."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_bert import make_table, table_of
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from pkd_core.config.settings import SpeedConfig
from pkd_core.evaluation import speed
from pkd_core.evaluation.speed import measure_speed, median_interval
from pkd_core.evaluation.speed_result import Speed

CPU = torch.device("cpu")
TABLE = make_table(40)
Observe = Callable[[int, int], None]


@dataclass
class Clock:
    """Seconds that this thread has computed, and seconds that have passed."""

    thread: float = 0.0
    wall: float = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    times = SimpleNamespace(
        thread_time=lambda: fake.thread, perf_counter=lambda: fake.wall, monotonic=lambda: fake.wall
    )
    monkeypatch.setattr(speed, "time", times)
    return fake


@dataclass
class TimedModel:
    """Takes the given seconds for its batches, in turn, and a hundredth of a second for a single text."""

    clock: Clock
    seconds: Sequence[float]
    name: str = ""
    log: list[str] = field(default_factory=list)
    busy: float = 1.0
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    tokens: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._next = cycle(self.seconds)

    def train(self, mode: bool) -> None:
        assert mode is False

    def __call__(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> object:
        assert torch.is_inference_mode_enabled()
        self.shapes.append(tuple(input_ids.shape))
        self.tokens.append(attention_mask.sum(dim=1).tolist())
        self.log.append(f"{self.name} {len(input_ids)}")
        seconds = 0.01 if len(input_ids) == 1 else next(self._next)
        self.clock.thread += seconds
        # Other processes use the machine as well.
        self.clock.wall += seconds * self.busy
        return SimpleNamespace(logits=torch.zeros(1))


def measured(
    student: object, teacher: object, settings: SpeedConfig | None = None, observe: Observe | None = None
) -> Speed:
    settings = settings or SpeedConfig(max_seconds=1e3)
    arguments = {"observe": observe} if observe else {}
    return measure_speed(student, teacher, TABLE, settings, CPU, "a machine", **arguments)  # type: ignore[arg-type]


def test_the_ratio_is_the_median_of_the_rounds_without_the_warm_up(clock: Clock) -> None:
    teacher = TimedModel(clock, [90.0, 3.9, 4.0, 4.0, 4.1, 4.0, 4.0])
    student = TimedModel(clock, [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    found = measured(student, teacher, SpeedConfig(max_seconds=0))
    assert (found.ratio, found.low, found.high) == pytest.approx((2.0, 1.95, 2.05))
    assert found.rounds == 6
    assert (found.teacher_batch_ms, found.student_batch_ms) == pytest.approx((4000.0, 2000.0))
    assert (found.teacher_text_ms, found.student_text_ms) == pytest.approx((10.0, 10.0))
    assert (found.machine, found.threads) == ("a machine", 1)
    assert found.spread == pytest.approx(0.05)


def test_rounds_go_on_until_the_interval_reaches_no_further_than_a_fiftieth(clock: Clock) -> None:
    # Every second round is 5 % off: the interval is narrow once its ends are no longer the extremes.
    noisy = TimedModel(clock, [4.0, 4.2, 3.8, *[4.0] * 30])
    found = measured(TimedModel(clock, [2.0]), noisy)
    assert (found.ratio, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))
    # Of 9 values, the second and the last but one are the first pair that leaves the extremes out.
    assert found.rounds == 9
    assert measured(TimedModel(clock, [2.0]), TimedModel(clock, [4.0])).rounds == 6


def test_a_measurement_that_stays_uncertain_ends_at_its_time_limit(clock: Clock) -> None:
    wild = TimedModel(clock, [1.0, 9.0])
    found = measured(TimedModel(clock, [1.0]), wild, SpeedConfig(max_seconds=60))
    # A round takes 2.02 or 10.02 seconds, the first one that is not counted included.
    assert found.rounds == 9
    assert (found.low, found.high) == pytest.approx((1.0, 9.0))


def test_one_thread_is_timed_by_the_processor_and_several_by_the_clock(clock: Clock) -> None:
    def ratio(threads: int) -> float:
        teacher, student = TimedModel(clock, [4.0]), TimedModel(clock, [2.0], busy=4.0)
        return measured(student, teacher, SpeedConfig(max_seconds=0, threads=threads)).ratio

    assert ratio(threads=1) == pytest.approx(2.0)
    assert ratio(threads=2) == pytest.approx(0.5)


def test_the_models_take_turns_in_the_other_order_in_every_second_round(clock: Clock) -> None:
    log: list[str] = []
    teacher, student = (TimedModel(clock, [1.0], name, log) for name in ("teacher", "student"))
    measured(student, teacher, SpeedConfig(max_seconds=0))
    turn, other = ["teacher 9", "student 9"], ["student 9", "teacher 9"]
    texts, other_texts = ["teacher 1", "student 1"], ["student 1", "teacher 1"]
    assert log == [*turn, *texts, *other, *other_texts] * 3 + [*turn, *texts]


@pytest.mark.parametrize(
    ("batch_tokens", "expected"),
    [(16, [8, 8]), (31, [8, 8, 8]), (1, [8]), (10_000, [4, 6, 8, 8, 8, 20, 30])],
)
def test_texts_of_the_median_length_are_timed(batch_tokens: int, expected: list[int], clock: Clock) -> None:
    table = table_of([8, 30, 6, 8, 20, 8, 4])
    teacher, student = TimedModel(clock, [1.0]), TimedModel(clock, [1.0])
    settings = SpeedConfig(batch_tokens=batch_tokens, max_seconds=0)
    found = measure_speed(student, teacher, table, settings, CPU, "a machine")  # type: ignore[arg-type]
    assert teacher.tokens[0] == student.tokens[0] == expected
    assert teacher.shapes[0] == (found.batch_size, found.length) == (len(expected), max(expected))
    assert {len(shape) for shape in teacher.shapes} == {2}
    assert teacher.shapes[1][0] == 1, "a single text"


def test_on_a_gpu_a_call_ends_when_the_gpu_has_computed_it(clock: Clock) -> None:
    gpu = torch.device("cuda", 0)

    class QueuedModel:
        """Returns at once; its seconds pass when its result is fetched."""

        def __init__(self, seconds: float) -> None:
            self._seconds = seconds

        def train(self, mode: bool) -> None:
            assert not mode

        def __call__(self, **batch: Tensor) -> object:
            assert {values.device for values in batch.values()} == {gpu}
            return SimpleNamespace(logits=SimpleNamespace(cpu=self._wait))

        def _wait(self) -> None:
            clock.wall += self._seconds

    with FakeTensorMode(allow_non_fake_inputs=True):
        found = measure_speed(
            QueuedModel(1.0),  # type: ignore[arg-type]
            QueuedModel(3.0),  # type: ignore[arg-type]
            TABLE,
            SpeedConfig(max_seconds=0),
            gpu,
            "a GPU",
        )
    assert found.ratio == pytest.approx(3.0)


def test_progress_counts_seconds_up_to_the_limit_and_an_error_in_it_ends_the_measurement(
    clock: Clock,
) -> None:
    reported: list[tuple[int, int]] = []
    teacher, student = TimedModel(clock, [4.0]), TimedModel(clock, [2.0])
    measured(student, teacher, SpeedConfig(max_seconds=20), lambda *seen: reported.append(seen))
    assert reported == [(6, 20), (12, 20), (18, 20), *[(20, 20)] * 5]

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    student.log.clear()
    with pytest.raises(KeyboardInterrupt):
        measured(student, teacher, observe=stop)
    assert len(student.log) == 2


@pytest.mark.parametrize("number", [6, 7, 17, 100])
def test_the_interval_encloses_the_median_with_95_percent_probability_or_little_more(number: int) -> None:
    ordered = [float(value) for value in range(number)]
    low, high = median_interval(np.random.default_rng(0).permutation(ordered).tolist())
    assert low + high == number - 1, "symmetric"
    # The median lies outside if at most `low` of the values are below it, or above it.
    outside = [
        2 * sum(math.comb(number, k) for k in range(int(rank) + 1)) / 2**number for rank in (low, low + 1)
    ]
    assert outside[0] <= 0.05 < outside[1]


def test_fewer_than_six_rounds_have_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 6 values, got 5"):
        median_interval([1.0] * 5)
