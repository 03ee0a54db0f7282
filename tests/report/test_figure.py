"""The figure shows every result, and its words neither overlap nor leave it."""

import struct
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from report_rows import GLUE, TEACHER, many, student

from pkd_core.report.figure import draw_figure
from pkd_core.report.write import ResultRow, aggregate, write_report


def points_of(figure: Figure, plot: int) -> set[tuple[float, float]]:
    """Return the points of every marker and line in one plot, rounded."""
    lines = figure.axes[plot].get_lines()
    return {(round(x, 6), round(y, 6)) for line in lines for x, y in line.get_xydata()}


def texts_of(figure: Figure) -> list[Text]:
    """Lay out the figure and return the texts that are visible, so none of ticks outside the limits."""
    figure.draw_without_rendering()
    hidden = set()
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            hidden |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [text for text in texts if text not in hidden]


def test_the_png_holds_no_time_and_no_version(tmp_path: Path) -> None:
    write_report(tmp_path, [TEACHER], {})
    data = (tmp_path / "report.png").read_bytes()
    kinds, position = [], 8
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        kinds.append(data[position + 4 : position + 8])
        position += 12 + length
    assert set(kinds) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(many(["RTE"]), id="1 task"),
        pytest.param(many(GLUE, seeds=(1,)), id="9 tasks"),
        pytest.param(many(["RTE", "WNLI"], depths=(6, 4, 3, 2)), id="2 tasks, 4 depths"),
        pytest.param([TEACHER], id="teacher alone"),
        pytest.param([student("kd", 0.6)], id="no teacher"),
        pytest.param([TEACHER, student("kd", 0.6, speed_ratio=None)], id="no speed"),
    ],
)
def test_words_neither_overlap_nor_leave_the_figure(rows: list[ResultRow]) -> None:
    figure = draw_figure(aggregate(rows))
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(figure)]
    assert len(boxes) > 10
    for text, box in boxes:
        assert figure.bbox.count_contains(box.corners()) == 4, text
    for (text, box), (other_text, other) in combinations(boxes, 2):
        width = min(box.x1, other.x1) - max(box.x0, other.x0)
        height = min(box.y1, other.y1) - max(box.y0, other.y0)
        assert min(width, height) < 1, (text, other_text)


def test_each_plot_shows_means_deviations_seeds_teacher_and_baseline() -> None:
    rows = [
        TEACHER,
        student("finetune", 0.60),
        student("kd", 0.62, seed=1, speed_ratio=1.9),
        student("kd", 0.66, seed=2, speed_ratio=2.3),
        student("kd", 0.58, num_layers=3, speed_ratio=3.5),
    ]
    figure = draw_figure(aggregate(rows))
    # By method: a column for each, the deeper student on its left, single seeds on the left of their mean.
    scores = points_of(figure, 0)
    assert {(-0.15, 60.0), (0.85, 64.0), (0.73, 62.0), (0.73, 66.0), (1.15, 58.0)} <= scores
    assert {(0.0, 70.0), (1.0, 70.0)} <= scores, "the teacher's level"
    assert {(0.0, 52.7), (1.0, 52.7)} <= scores, "the baseline"
    (bar,) = figure.axes[0].collections
    (bar_ends,) = bar.get_segments()
    assert bar_ends[:, 1] == pytest.approx([64 - 8**0.5, 64 + 8**0.5])
    assert points_of(figure, 1) == {(1.0, 70.0), (2.0, 60.0), (2.1, 64.0), (3.5, 58.0)}
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    words = {text.get_text() for text in texts_of(figure)}
    assert {
        "Dev scores (mean ± standard deviation; dots are single seeds)",
        "RTE",
        "accuracy × 100",
        "times faster than the teacher",
        "teacher 70.0, most frequent answer 52.7",
        *("finetune", "kd", "6 layers", "3 layers", "teacher", "most frequent answer"),
    } <= words


def test_without_a_measured_speed_scores_are_drawn_against_size() -> None:
    figure = draw_figure(aggregate([TEACHER, student("kd", 0.6, speed_ratio=None)]))
    assert points_of(figure, 1) == {(110.0, 70.0), (55.0, 60.0)}
    assert figure.axes[1].get_xlabel() == "million parameters"


def test_a_baseline_far_below_all_models_does_not_flatten_their_differences() -> None:
    rows = [TEACHER, student("finetune", 0.69), student("kd", 0.66)]
    low, high = draw_figure(aggregate(rows)).axes[0].get_ylim()
    assert 65 < low < 66
    assert 70 < high < 71
