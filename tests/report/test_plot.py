"""Values of a plot are where its axes say, curves are means, and confusions are counted."""

import re

import numpy as np
import pytest

from pkd_core.evaluation.paired_bootstrap import Answers
from pkd_core.report.confusion import Confusion, count_confusions, most_confused
from pkd_core.report.curves import Curves, mean_curves
from pkd_core.report.page.plot import Axis, Mark, Plot, Series, draw
from pkd_core.report.page.plots import course_plots


def positions(plot: Plot) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", plot.lines[0].path)]


@pytest.mark.parametrize("values", [[1.0, 3.0, 2.0], [0.001, 5.0, 10.0]])
def test_a_line_runs_between_the_ticks_that_its_values_lie_between(values: list[float]) -> None:
    plot = draw("title", "step", [Series("one", "m1 d0", list(enumerate(values)))], may_be_log=True)
    assert len(plot.y_ticks) >= 3
    for (x, y), value in zip(positions(plot), values, strict=True):
        assert plot.left < x < plot.right
        assert plot.top < y < plot.bottom
        assert {float(tick.text) < value for tick in plot.y_ticks if tick.at > y + 0.1} <= {True}
        assert {float(tick.text) > value for tick in plot.y_ticks if tick.at < y - 0.1} <= {True}


def test_a_logarithmic_axis_has_equal_steps_for_equal_ratios() -> None:
    axis = Axis(0.1, 1000, start=0, end=400, is_log=True)
    assert [axis.at(value) for value in (0.1, 1, 10, 100, 1000)] == pytest.approx([0, 100, 200, 300, 400])


def test_a_single_dot_is_in_the_middle_and_its_interval_around_it() -> None:
    (mark,) = draw("title", "ms", marks=[Mark("kd", "m2 d0", 2.0, 80.0, 1.0, 4.0)]).marks
    assert mark.low < mark.x < mark.high
    assert (mark.high - mark.x) / (mark.x - mark.low) == pytest.approx(2, rel=0.01)


def test_curves_are_means_over_seeds_and_neighbouring_steps() -> None:
    histories = [
        [
            (step, {"train/heads": 2.0, "train/total": float(step + seed), "train/learning_rate": 1.0})
            for step in range(1, 161)
        ]
        + [(160, {"dev/accuracy": 0.5 + seed / 10})]
        for seed in (0, 2)
    ]
    curves = mean_curves(histories, "dev/accuracy")
    assert list(curves) == ["train/total", "train/heads", "dev/accuracy"]
    assert curves["dev/accuracy"] == [(160, pytest.approx(0.6))]
    steps = [step for step, _ in curves["train/total"]]
    assert len(steps) == 80
    assert all(value == pytest.approx(step + 1) for step, value in curves["train/total"])
    assert mean_curves([], "dev/accuracy") == {}


def test_losses_are_plotted_in_the_order_of_the_formula_and_the_dev_score_last() -> None:
    names = ("dev/accuracy", "train/heads", "train/patience", "train/total")
    curves = [Curves("T", "kd", 2, {name: [(1, 0.5), (2, 0.25)] for name in names})]
    plots = course_plots(curves, [2])
    assert [plot.title.partition(":")[0] for plot in plots] == [
        "total loss",
        "L_PT",
        "loss",
        "dev accuracy × 100",
    ]
    assert {tick.text for tick in plots[-1].y_ticks} >= {"30", "48"}, "dev scores are × 100"


def test_confusions_are_counted_by_label_and_prediction_and_averaged_over_seeds() -> None:
    gold = np.array([0, 0, 1, 2, 2, 2])
    predicted = np.array([[0, 1, 1, 0, 0, 2], [0, 1, 1, 0, 2, 2]])
    counts = count_confusions(Answers(gold, predicted, 3))
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1.5, 0, 1.5]]
    one = Confusion("T", "kd", 2, ("a", "b", "c"), counts)
    other = Confusion("T", "teacher", 4, ("a", "b", "c"), np.diag([2, 1, 3]))
    pairs = most_confused([other, one])
    assert [(pair.gold, pair.predicted, pair.counts) for pair in pairs] == [
        ("c", "a", [0.0, 1.5]),
        ("a", "b", [0.0, 1.0]),
    ]
