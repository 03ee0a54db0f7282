"""What a stage's progress tells: rate, time left, loss and dev score."""

import logging

import pytest

import pkd_core.runtime.observer
from pkd_core.runtime.observer import LogObserver
from pkd_core.runtime.progress import Progress, clock, rounded


def test_rate_and_time_left_are_those_of_the_last_minute() -> None:
    progress = Progress()
    progress.update(0, 1000, "steps", 0.0)
    assert (progress.rate, progress.seconds_left) == (None, None)
    progress.update(10, 1000, "steps", 10.0)
    assert (progress.rate, progress.seconds_left) == (1.0, 990.0)
    for second in range(11, 101):
        progress.update(10 + 4 * (second - 10), 1000, "steps", float(second))
    assert progress.rate == 4.0
    assert progress.seconds_left == (1000 - 370) / 4


def test_the_rate_of_a_resumed_training_leaves_out_what_was_done_before() -> None:
    progress = Progress()
    progress.update(900, 1000, "steps", 50.0)
    progress.update(910, 1000, "steps", 55.0)
    assert progress.rate == 2.0


def test_a_second_thing_that_is_counted_has_a_rate_of_its_own() -> None:
    progress = Progress()
    progress.update(10, 1000, "examples", 0.0)
    progress.update(1000, 1000, "examples", 1.0)
    progress.update(1, 5, "timed turns", 2.0)
    assert progress.rate is None
    progress.update(2, 5, "timed turns", 4.0)
    assert progress.rate == 0.5


def test_the_score_is_that_of_the_metric_that_selects_the_best_epoch() -> None:
    progress = Progress()
    progress.add_metrics({"dev/f1": 0.5, "dev/accuracy": 0.75})
    progress.add_metrics({"train/total": 0.25, "train/learning_rate": 1e-5})
    assert (progress.metric, progress.score, progress.loss) == ("f1", 0.5, 0.25)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (7284, "2:01:24")]
)
def test_times_are_minutes_and_seconds_or_with_hours(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(0.25, "0.25"), (22.46, "22.5"), (1340.4, "1340")])
def test_rates_have_three_digits_at_least(rate: float, text: str) -> None:
    assert rounded(rate) == text


def test_a_log_line_has_rate_time_left_loss_and_score(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pkd_core")
    seconds = iter([0.0, 1.0, 11.0])
    monkeypatch.setattr(pkd_core.runtime.observer.time, "monotonic", lambda: next(seconds))
    observer = LogObserver("RTE/teacher")
    observer.progress(20, 100, "steps")
    observer.metrics(20, {"train/total": 0.3125})
    observer.metrics(20, {"dev/accuracy": 0.904})
    observer.progress(40, 100, "steps")
    assert caplog.messages == [
        "RTE/teacher: 40 of 100 steps (40 %), 2 steps/s, 0:30 left, loss 0.312, dev accuracy 90.4"
    ]


def test_seconds_have_no_rate() -> None:
    progress = Progress()
    progress.update(2, 20, "seconds at most", 0.0)
    progress.update(6, 20, "seconds at most", 5.0)
    assert progress.describe() == "6 of 20 seconds at most (30 %), 0:18 left"
