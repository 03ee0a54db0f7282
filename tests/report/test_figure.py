"""The figure shows every result, and its words neither overlap nor leave it."""

import struct
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from report_rows import BASE, GLUE, TEACHER, many, speed, student

from pkd_core.report.content import Report
from pkd_core.report.figure import draw_figure
from pkd_core.report.write import Group, ResultRow, aggregate, write_report

ORANGE, BLUE, BLACK, GREY = "#d55e00", "#0072b2", "#222222", "#7a7a7a"
GREEN, PINK = "#009e73", "#cc79a7"

ROWS = [
    TEACHER,
    student("finetune", 0.60),
    student("kd", 0.62, seed=1),
    student("kd", 0.66, seed=2),
    student("kd", 0.58, num_layers=3, speed=speed(3.5)),
]


def look(line: Line2D) -> tuple[object, ...]:
    """Return a line's colour, marker and style."""
    return to_hex(line.get_color()), line.get_marker(), line.get_linestyle()


def drawn(figure: Figure, plot: int) -> list[tuple[tuple[object, ...], list[tuple[float, ...]]]]:
    """Return every line and marker of one plot, its look and its points, rounded."""
    return [
        (look(line), [tuple(point) for point in np.asarray(line.get_xydata(), float).round(3).tolist()])
        for line in figure.axes[plot].get_lines()
    ]


def interval(
    color: str, speed: float, score: float
) -> list[tuple[tuple[object, ...], list[tuple[float, float]]]]:
    """Return what marks the interval of a measured speed: its middle and two caps."""
    ends = [((color, "|", "None"), [(speed + end, score)]) for end in (-0.02, 0.01)]
    return [((color, "None", "-"), [(speed, score)]), *ends]


def pale(group: Group, x: float) -> list[tuple[float, ...]]:
    """Return the ends of the bar that shows a group's interval."""
    assert group.interval is not None
    return [(x, round(100 * end, 3)) for end in group.interval]


def font_of(figure: Figure, text: str) -> tuple[object, object]:
    """Return the weight and size of the one text that reads so."""
    (found,) = (one for one in texts_of(figure) if one.get_text() == text)
    return found.get_fontweight(), found.get_fontsize()


def texts_of(figure: Figure) -> list[Text]:
    """Lay out the figure and return the texts that are visible, so none of ticks outside the limits."""
    figure.draw_without_rendering()
    hidden = set()
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            hidden |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [text for text in texts if text not in hidden]


def test_the_png_holds_the_figure_and_no_time_and_no_version(tmp_path: Path) -> None:
    write_report(tmp_path, Report([TEACHER], {}, BASE))
    data = (tmp_path / "report.png").read_bytes()
    kinds, position = [], 8
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        kinds.append(data[position + 4 : position + 8])
        position += 12 + length
    assert set(kinds) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}
    assert struct.unpack(">II", data[16:24]) == (1350, 525), "pixels"


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(many(["RTE"]), id="1 task"),
        pytest.param(many(GLUE, seeds=(1,)), id="9 tasks"),
        pytest.param(many(["RTE", "WNLI"], depths=(6, 4, 3, 2)), id="2 tasks, 4 depths"),
        pytest.param([TEACHER], id="teacher alone"),
        pytest.param([student("kd", 0.6)], id="no teacher"),
        pytest.param([TEACHER, student("kd", 0.6, speed=None)], id="no speed"),
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


def test_scores_are_drawn_by_method_with_their_deviations_and_seeds_below_the_teachers_level() -> None:
    groups = aggregate(ROWS)
    figure = draw_figure(groups)
    # A column for each method, the deeper student on its left, single seeds on the left of their mean.
    assert drawn(figure, 0) == [
        ((ORANGE, "None", "-"), pale(groups[1], -0.15)),
        ((ORANGE, "o", "None"), [(-0.15, 60)]),
        ((BLUE, "None", "-"), pale(groups[2], 0.85)),
        ((BLUE, ".", "None"), [(0.73, 62), (0.73, 66)]),
        ((BLUE, "None", "-"), [(0.85, 64)]),
        ((BLUE, "_", "None"), [(0.85, 61.172)]),
        ((BLUE, "_", "None"), [(0.85, 66.828)]),
        ((BLUE, "o", "None"), [(0.85, 64)]),
        ((BLUE, "None", "-"), pale(groups[3], 1.15)),
        ((BLUE, "s", "None"), [(1.15, 58)]),
        ((BLACK, "None", "-"), [(0, 70), (1, 70)]),
        ((GREY, "None", "--"), [(0, 52.7), (1, 52.7)]),
    ]
    axes = figure.axes[0]
    (bar,) = axes.collections
    assert isinstance(bar, LineCollection)
    (bar_ends,) = bar.get_segments()
    assert bar_ends[:, 1] == pytest.approx([64 - 8**0.5, 64 + 8**0.5])
    assert to_hex(np.asarray(bar.get_color())[0]) == BLUE
    (band,) = axes.patches
    assert isinstance(band, Rectangle)
    low, high = groups[0].interval or (0, 0)
    assert (band.get_y(), band.get_height()) == pytest.approx((100 * low, 100 * (high - low)))
    assert axes.get_lines()[0].get_alpha() == 0.2
    seeds, lower_cap = axes.get_lines()[3], axes.get_lines()[5]
    assert (seeds.get_alpha(), lower_cap.get_markersize()) == (0.45, 6)
    assert axes.get_xlim() == (-0.6, 1.6)
    labels = [(label.get_position()[0], label.get_text()) for label in axes.get_xticklabels()]
    assert labels == [(0, "finetune"), (1, "kd")]
    assert (axes.get_title("left"), axes.get_ylabel()) == ("RTE", "dev accuracy × 100")
    assert axes.get_title() == axes.get_title("right") == ""
    assert font_of(figure, "RTE") == ("bold", 12)


def test_scores_are_drawn_against_speed_with_a_line_through_the_depths_of_a_method() -> None:
    figure = draw_figure(aggregate(ROWS))
    assert drawn(figure, 1) == [
        ((BLACK, "None", "-"), [(1, 70)]),
        ((BLACK, "*", "None"), [(1, 70)]),
        ((ORANGE, "None", "-"), [(2, 60)]),
        *interval(ORANGE, 2, 60),
        ((ORANGE, "o", "None"), [(2, 60)]),
        ((BLUE, "None", "-"), [(2, 64), (3.5, 58)]),
        *interval(BLUE, 2, 64),
        ((BLUE, "o", "None"), [(2, 64)]),
        *interval(BLUE, 3.5, 58),
        ((BLUE, "s", "None"), [(3.5, 58)]),
    ]
    axes = figure.axes[1]
    assert axes.get_xlim() == pytest.approx((0.749, 3.761))
    assert axes.get_ylim() == figure.axes[0].get_ylim() == pytest.approx((50.968, 76.242), abs=1e-3)
    assert axes.get_xlabel() == "times faster than the teacher"
    assert axes.get_title("right") == "teacher 70.0, most frequent answer 52.7"
    assert axes.get_title("left") == axes.get_title() == ""
    # Smaller than a title by default, so that it fits into half of the figure.
    assert font_of(figure, axes.get_title("right")) == ("normal", 10)


def test_the_legend_below_the_plots_names_methods_depths_teacher_and_baseline() -> None:
    rows = [student("pkd-last", 0.6), *ROWS, student("pkd-skip", 0.6, num_layers=1)]
    figure = draw_figure(aggregate(rows))
    (legend,) = figure.legends
    handles = [handle for handle in legend.legend_handles if isinstance(handle, Line2D)]
    assert [(handle.get_label(), *look(handle)) for handle in handles] == [
        ("finetune", ORANGE, "None", "-"),
        ("kd", BLUE, "None", "-"),
        ("pkd-skip", GREEN, "None", "-"),
        ("pkd-last", PINK, "None", "-"),
        ("6 layers", "#000000", "o", "None"),
        ("3 layers", "#000000", "s", "None"),
        ("1 layer", "#000000", "D", "None"),
        ("teacher", BLACK, "*", "-"),
        ("most frequent answer", GREY, "None", "--"),
    ]
    figure.draw_without_rendering()
    assert not legend.get_frame_on()
    assert legend.get_window_extent().y1 < min(axes.get_window_extent().y0 for axes in figure.axes)
    lefts = {round(text.get_window_extent().x0) for text in legend.get_texts()}
    assert len(lefts) == 5, "columns"


def test_models_that_learnt_nothing_have_hollow_markers_with_their_meaning_in_the_legend() -> None:
    teacher = replace(TEACHER, baseline=0.70)
    rows = [teacher, student("finetune", 0.75, baseline=0.70), student("kd", 0.70, baseline=0.70)]
    figure = draw_figure(aggregate(rows))
    inside = {
        str(line.get_marker()): to_hex(line.get_markerfacecolor()) for line in figure.axes[1].get_lines()
    }
    assert inside["*"] == "#ffffff"
    by_color = {
        to_hex(line.get_color()): to_hex(line.get_markerfacecolor())
        for line in figure.axes[0].get_lines()
        if line.get_marker() == "o"
    }
    assert by_color == {ORANGE: ORANGE, BLUE: "#ffffff"}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-1] == "no better, or one class only"
    assert "no better, or one class only" not in [
        text.get_text() for text in draw_figure(aggregate(ROWS)).legends[0].get_texts()
    ]


def test_each_task_has_a_row_of_two_plots_of_its_own_scale() -> None:
    teacher = replace(TEACHER, task="MRPC", scores={"dev/accuracy": 0.90}, baseline=0.8)
    finetuned = student("finetune", 0.86, task="MRPC", extra={})
    figure = draw_figure(aggregate([*ROWS, replace(teacher, extra={}), finetuned]))
    assert [axes.get_title("left") for axes in figure.axes] == ["RTE", "", "MRPC", ""]
    assert [axes.get_title("right") for axes in figure.axes] == [
        "",
        "teacher 70.0, most frequent answer 52.7",
        "",
        "teacher 90.0, most frequent answer 80.0",
    ]
    # A method that only the other task has keeps its column.
    assert [axes.get_xlim() for axes in figure.axes[::2]] == [(-0.6, 1.6)] * 2
    assert figure.axes[2].get_ylim() == figure.axes[3].get_ylim() == pytest.approx((85.8, 90.2))
    assert drawn(figure, 2)[0] == ((ORANGE, "o", "None"), [(-0.15, 86)])


@pytest.mark.parametrize(
    ("rows", "title", "height"),
    [
        ([], "No results", 195),
        (ROWS, "Scores (mean ± standard deviation; dots are single seeds; pale: 95 % interval)", 525),
        ([*ROWS[:2], replace(TEACHER, task="MRPC")], "Scores (one seed each; pale: 95 % interval)", 855),
    ],
    ids=["nothing", "seeds", "two tasks"],
)
def test_the_title_says_how_many_seeds_there_are_and_the_height_grows_with_the_tasks(
    rows: list[ResultRow], title: str, height: int
) -> None:
    figure = draw_figure(aggregate(rows))
    assert figure.get_suptitle() == title
    assert tuple(figure.bbox.size) == pytest.approx((1350, height))


def test_without_a_measured_speed_scores_are_drawn_against_size() -> None:
    figure = draw_figure(aggregate([TEACHER, student("kd", 0.6, speed=None)]))
    assert drawn(figure, 1) == [
        ((BLACK, "None", "-"), [(110, 70)]),
        ((BLACK, "*", "None"), [(110, 70)]),
        ((BLUE, "None", "-"), [(55, 60)]),
        ((BLUE, "o", "None"), [(55, 60)]),
    ]
    assert figure.axes[1].get_xlabel() == "million parameters"


def test_a_teacher_alone_has_its_level_and_an_empty_column() -> None:
    figure = draw_figure(aggregate([replace(TEACHER, baseline=None)]))
    assert drawn(figure, 0) == [((BLACK, "None", "-"), [(0, 70), (1, 70)])]
    assert figure.axes[0].get_xlim() == (-0.6, 0.6)
    assert figure.axes[1].get_title("right") == "teacher 70.0"


@pytest.mark.parametrize(
    ("baseline", "limits"), [(0.527, (65.8, 70.2)), (0.635, (65.8, 70.2)), (0.638, (63.49, 70.31))]
)
def test_a_baseline_far_below_all_models_does_not_flatten_their_differences(
    baseline: float, limits: tuple[float, float]
) -> None:
    # Without the baseline the plot would reach from 65.8 to 70.2; "far" is more than half of its height below.
    rows = [TEACHER, student("finetune", 0.69), student("kd", 0.66)]
    figure = draw_figure(aggregate([replace(row, baseline=baseline, extra={}) for row in rows]))
    assert figure.axes[0].get_ylim() == pytest.approx(limits)
    assert f"most frequent answer {100 * baseline:.1f}" in figure.axes[1].get_title("right")
