"""A latency is what the processor spends on a call; a fake clock is advanced by fake models."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from pkd_core.config.latency_settings import LatencyConfig
from pkd_core.latency import measure
from pkd_core.latency.measure import Example, Variant, measure_latency, texts_of_all_lengths
from pkd_core.latency.result import LatencyResult, LatencyRow, read_latency, write_latency

TEXTS = [("a" * length,) for length in range(1, 101)]
SETTINGS = LatencyConfig(num_calls=100, max_seconds=1000)


@dataclass
class Clock:
    """Nanoseconds that this thread has computed, that the process has, and that have passed."""

    thread: int = 0
    process: int = 0
    wall: int = 0

    def advance(self, milliseconds: float, waiting: float = 1.0) -> None:
        self.thread += round(milliseconds * 1e6)
        self.process += round(milliseconds * 2e6)
        self.wall += round(milliseconds * 1e6 * waiting)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    times = SimpleNamespace(
        thread_time_ns=lambda: fake.thread,
        process_time_ns=lambda: fake.process,
        perf_counter_ns=lambda: fake.wall,
        monotonic=lambda: fake.wall / 1e9,
    )
    monkeypatch.setattr(measure, "time", times)
    return fake


@dataclass
class TimedModel:
    """Takes some milliseconds for each character of a single text, and a tenth of them for each text of a batch."""

    clock: Clock
    milliseconds: float
    waiting: float = 1.0
    calls: list[Sequence[Example]] = field(default_factory=list)

    def __call__(self, examples: Sequence[Example]) -> None:
        assert not gc.isenabled()
        self.calls.append(examples)
        work = len(examples[0][0]) if len(examples) == 1 else 0.1 * len(examples)
        self.clock.advance(self.milliseconds * work, self.waiting)


def variant(model: Callable[[Sequence[Example]], object], name: str = "teacher") -> Variant:
    return Variant(name, "onnx-int8", model, 1000)


def measured(
    *models: TimedModel, settings: LatencyConfig = SETTINGS, texts: Sequence[Example] = TEXTS
) -> LatencyResult:
    return measure_latency([variant(model) for model in models], texts, settings, "a machine")


def test_a_row_has_the_quantiles_of_the_calls_and_the_throughput_of_the_batches(clock: Clock) -> None:
    found = measured(TimedModel(clock, 2.0, waiting=1.5), TimedModel(clock, 1.0, waiting=1.5))
    first, second = found.rows
    # Texts of 1 to 100 characters, once each: the 50th and the 99th take as many milliseconds, doubled.
    assert (first.p50_ms, first.p99_ms) == pytest.approx((100, 198))
    assert (second.p50_ms, second.p99_ms) == pytest.approx((50, 99))
    assert (first.wall_p50_ms, first.wall_p99_ms) == pytest.approx((150, 297))
    assert (first.texts_per_second, second.texts_per_second) == pytest.approx((5_000, 10_000))
    assert (first.num_calls, first.num_batches, first.size_bytes) == (100, 4, 1000)
    assert (found.machine, found.threads, found.batch_size) == ("a machine", 1, 32)


@pytest.mark.parametrize(("waiting", "busy"), [(1.19, False), (1.2, True), (40.0, True)])
def test_a_machine_is_busy_when_the_wall_time_exceeds_the_cpu_time_by_a_fifth(
    clock: Clock, waiting: float, busy: bool
) -> None:
    found = measured(TimedModel(clock, 1.0, waiting))
    assert found.wall_over_cpu == pytest.approx(waiting)
    assert found.busy is busy
    assert found.rows[0].p50_ms == pytest.approx(50)


def test_with_several_threads_the_wall_time_is_shown(clock: Clock) -> None:
    settings = SETTINGS.model_copy(update={"threads": 2})
    found = measured(TimedModel(clock, 1.0, waiting=3.0), settings=settings)
    row = found.rows[0]
    assert row.p50_ms == row.wall_p50_ms == pytest.approx(150)
    assert row.texts_per_second == pytest.approx(1e4 / 3)
    assert found.wall_over_cpu == pytest.approx(1.5), "two threads compute"
    assert found.where == "a machine, 2 CPU threads"


def test_the_models_take_turns_and_each_text_begins_with_the_next_one(clock: Clock) -> None:
    log: list[tuple[str, int]] = []

    def logging(name: str) -> Variant:
        def predict(examples: Sequence[Example]) -> None:
            log.append((name, len(examples)))
            clock.advance(1.0)

        return variant(predict, name)

    measure_latency([logging(name) for name in "abc"], TEXTS[:40], SETTINGS, "a machine")
    assert [name for name, _ in log[15:27]] == [*"abc", *"bca", *"cab", *"abc"]
    assert [size for _, size in log] == [1] * (5 + 100) * 3 + [32] * 3 + [8] * 3


def test_the_first_calls_are_not_counted(clock: Clock) -> None:
    slow_at_first = TimedModel(clock, 1.0)

    def predict(examples: Sequence[Example]) -> None:
        clock.advance(1e6 if len(slow_at_first.calls) < 5 else 0)
        slow_at_first(examples)

    found = measure_latency([variant(predict)], TEXTS, LatencyConfig(max_seconds=1e3), "a machine")
    # 5000 seconds have gone before the first call that counts: only the least number is made.
    assert found.rows[0].num_calls == 20
    assert found.rows[0].p99_ms <= 100
    assert len(slow_at_first.calls) == 5 + 20 + 1


def test_the_time_limit_leaves_a_third_for_the_batches(clock: Clock) -> None:
    model = TimedModel(clock, 1000.0)
    found = measured(model, settings=LatencyConfig(max_seconds=60), texts=[("a",)] * 320)
    # A call takes a second, and five are not counted; a batch takes 3.2 seconds, and there are ten.
    assert found.rows[0].num_calls == 35
    assert found.rows[0].num_batches == 7


def test_few_texts_are_timed_again_and_again(clock: Clock) -> None:
    model = TimedModel(clock, 1.0)
    found = measured(model, texts=[("ab",), ("abcd",)])
    assert found.rows[0].num_calls == 100
    assert found.rows[0].num_batches == 1
    assert sorted(map(len, (call[0][0] for call in model.calls[5:-1]))) == [2] * 50 + [4] * 50
    assert model.calls[-1] == [("ab",), ("abcd",)]


def test_texts_are_chosen_evenly_over_their_lengths(clock: Clock) -> None:
    pairs = [("a" * length, "b") for length in range(1000)]
    chosen = texts_of_all_lengths(pairs, 10)
    assert sorted(chosen) == [pairs[50 + 100 * place] for place in range(10)]
    assert chosen != sorted(chosen)
    assert chosen == texts_of_all_lengths(pairs[::-1], 10), "whatever the order of the file"
    assert sorted(texts_of_all_lengths(pairs[:7], 10)) == pairs[:7]


def test_an_observer_sees_the_seconds_and_can_stop_the_measurement(clock: Clock) -> None:
    seen: list[tuple[int, int]] = []

    def observe(done: int, total: int) -> None:
        seen.append((done, total))
        if done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_latency([variant(TimedModel(clock, 20.0))], TEXTS, SETTINGS, "a machine", observe)
    assert seen[-1] == (3, 1000)
    assert gc.isenabled(), "as before"


def test_a_result_is_read_as_it_was_written(clock: Clock, tmp_path: Path) -> None:
    rows = tuple(
        LatencyRow("kd-3l-s1", format, 1.5, 2.5, 1.75, 9.5, 300.25, 100, 4, 17_000_000)
        for format in ("onnx-float32", "onnx-int8")
    )
    result = LatencyResult(rows, "a machine", 1, 32, 1.25)
    write_latency(tmp_path, result)
    assert read_latency(tmp_path) == result
    assert result.row("kd-3l-s1", "onnx-int8") == rows[1]
    assert result.row("teacher", "onnx-int8") is None
