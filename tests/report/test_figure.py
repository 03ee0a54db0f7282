"""The picture can be read: nothing lies on words, nothing lies outside."""

import struct
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from report_rows import GLUE, TEACHER, many, student

from pkd_core.report.figure import draw_figure
from pkd_core.report.write import ResultRow, aggregate, write_report


def test_the_picture_carries_no_time_and_no_version(tmp_path: Path) -> None:
    write_report(tmp_path, many(["RTE"]), {})
    data = (tmp_path / "report.png").read_bytes()
    kinds, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kinds.append(data[at + 4 : at + 8])
        at += 12 + length
    assert set(kinds) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(many(["RTE"], seeds=(1,)), id="1 task"),
        pytest.param(many(["RTE", "WNLI"]), id="2 tasks"),
        pytest.param(many(GLUE), id="9 tasks"),
        pytest.param(many(GLUE[:4], depths=(3,)), id="4 tasks, one depth"),
        pytest.param(many(GLUE[:5], depths=(6, 4, 3, 2)), id="5 tasks, four depths"),
        pytest.param([TEACHER], id="teacher alone"),
        pytest.param([student("kd", 0.6)], id="no teacher"),
        pytest.param([TEACHER, student("kd", 0.6, speed_ratio=None)], id="no speed"),
    ],
)
def test_no_words_of_the_picture_overlap_or_leave_it(rows: list[ResultRow]) -> None:
    figure = draw_figure(aggregate(rows))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    unseen = set()
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            ticks = zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
            unseen |= {label for label, place in ticks if not low <= place <= high}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text not in unseen]
    assert len(boxes) > 10
    for text, box in boxes:
        assert figure.bbox.count_contains(box.corners()) == 4, text
    for (text, box), (other_text, other) in combinations(boxes, 2):
        width = min(box.x1, other.x1) - max(box.x0, other.x0)
        height = min(box.y1, other.y1) - max(box.y0, other.y0)
        assert min(width, height) < 1, (text, other_text)


def test_every_model_is_within_the_limits_of_its_plots() -> None:
    figure = draw_figure(aggregate(many(GLUE)))
    for axes in figure.axes:
        low, high = axes.get_ylim()
        for line in axes.get_lines():
            assert all(low <= level <= high for level in np.asarray(line.get_ydata(), dtype=float))
