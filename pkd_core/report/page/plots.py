"""The page's plots: courses of trainings, distances, scores against size and speed, intervals of differences."""

from collections.abc import Sequence
from dataclasses import dataclass

from pkd_core.evaluation.distances_result import at_same_depth
from pkd_core.report.cells import metric_name, points
from pkd_core.report.curves import Curves
from pkd_core.report.differences import ComparedPair, sentence
from pkd_core.report.distances import MethodDistances
from pkd_core.report.page.plot import Axis, Mark, Plot, Series, Tick, axis_over, draw
from pkd_core.report.results import METHODS, Group, depth_name

_LOSSES = {
    "train/total": "total loss",
    "train/cross_entropy": "L_CE: cross-entropy with the label",
    "train/distillation": "L_DS: distance to the teacher's predictions",
    "train/patience": "L_PT: distance to the teacher's [CLS] states",
}
_LOSS_PREFIX = "train/"
_NUM_COLOURS = 8
_NUM_DASHES = 4


@dataclass(frozen=True)
class Interval:
    """One pair's difference as positions, in per cent of a bar's width.

    Attributes:
        names: The pair.
        text: The difference in words.
        low: Start of the interval.
        high: Its end.
        at: The difference.
        is_distinguishable: Whether it is hardly chance.
    """

    names: str
    text: str
    low: float
    high: float
    at: float
    is_distinguishable: bool


@dataclass(frozen=True)
class Intervals:
    """The differences of one task and depth on a common scale, in points.

    Attributes:
        rows: One for each pair.
        zero: Where no difference lies.
        ticks: Round values.
    """

    rows: Sequence[Interval]
    zero: float
    ticks: Sequence[Tick]


def style_of(method: str, num_layers: int, depths: Sequence[int]) -> str:
    """Return the classes of a method's colour, and of a student depth's dashes and marker."""
    number = depths.index(num_layers) % _NUM_DASHES if num_layers in depths else 0
    return f"m{METHODS.index(method) % _NUM_COLOURS} d{number}"


def student_depths(groups: Sequence[Group]) -> list[int]:
    """Return the students' depths, the deepest first."""
    return sorted({group.num_layers for group in groups if group.method != "teacher"}, reverse=True)


def course_plots(curves: Sequence[Curves], depths: Sequence[int]) -> list[Plot]:
    """Return a plot for each part of one task's losses, and one of the dev score."""
    names = dict.fromkeys(name for one in curves for name in one.points)
    return [_course_plot(name, curves, depths) for name in sorted(names, key=_rank)]


def _rank(name: str) -> int:
    """Return the place of a loss among the plots: known ones first, the dev score last."""
    if name in _LOSSES:
        return list(_LOSSES).index(name)
    return len(_LOSSES) + (not name.startswith(_LOSS_PREFIX))


def _course_plot(name: str, curves: Sequence[Curves], depths: Sequence[int]) -> Plot:
    is_loss = name.startswith(_LOSS_PREFIX)
    series = [
        Series(
            f"{one.method}, {depth_name(one.num_layers)}",
            style_of(one.method, one.num_layers, depths),
            [(step, value if is_loss else 100 * value) for step, value in one.points[name]],
        )
        for one in curves
        if name in one.points
    ]
    title = f"dev {metric_name(name)} × 100"
    if is_loss:
        title = _LOSSES.get(name, f"loss: {name.removeprefix(_LOSS_PREFIX)}")
    return draw(title, "step", series, may_be_log=is_loss)


def distance_plots(distances: Sequence[MethodDistances], depths: Sequence[int]) -> list[Plot]:
    """Return a plot of one task's distances by the teacher's layer, before the trainings in grey; none without any."""
    measured = [one for one in distances if one.layers]
    if not measured:
        return []
    # Students of one depth are mostly the same before their trainings: drawn once.
    lines: dict[tuple[str, tuple[tuple[float, float], ...]], str] = {}
    for one in measured:
        style = style_of(one.method, one.num_layers, depths)
        layers = at_same_depth(one.layers)
        before = tuple((float(layer.teacher_layer), layer.before) for layer in layers)
        after = tuple((float(layer.teacher_layer), layer.after) for layer in layers)
        grey = f"before {style.split()[-1]}"
        lines.setdefault((grey, before), f"{depth_name(one.num_layers)}, before training")
        lines[style, after] = f"{one.method}, {depth_name(one.num_layers)}, trained"
    series = [Series(name, style, points) for (style, points), name in lines.items()]
    marks = [
        Mark(f"{one.name}: {distance:.3f} to layer {layer:g}", one.style, layer, distance)
        for one in series
        for layer, distance in one.points
    ]
    return [draw("distance of [CLS] states", "the teacher's layer", series, marks)]


def cost_plots(groups: Sequence[Group], depths: Sequence[int]) -> list[Plot]:
    """Return one task's scores against size, and against what a single text takes if that was measured."""
    final, split = groups[0].final, groups[0].final_split
    title = f"{split} {metric_name(final, beside=split)} × 100"
    sizes = [_mark(group, depths, group.rows[0].parameters / 1e6, "million parameters") for group in groups]
    plots = [draw(f"{title}, by size", "million parameters", marks=sizes)]
    speeds = [
        _mark(
            group,
            depths,
            group.speed.ratio if group.speed else 1.0,
            "times faster",
            (group.speed.low, group.speed.high) if group.speed else (None, None),
        )
        for group in groups
    ]
    measured = [group.speed for group in groups if group.speed is not None]
    if measured:
        plots.append(
            draw(f"{title}, by speed", "times faster than the teacher, with 95 % interval", marks=speeds)
        )
        teacher = measured[0].teacher_text_ms
        latencies = [
            _mark(group, depths, group.speed.student_text_ms if group.speed else teacher, "ms")
            for group in groups
        ]
        plots.append(draw(f"{title}, by latency", "milliseconds for a single text", marks=latencies))
    return plots


def interval_rows(pairs: Sequence[ComparedPair]) -> Intervals:
    """Return the differences of one task and depth on a common scale that has 0."""
    ends = [100 * end for pair in pairs for end in (pair.result.low, pair.result.high)]
    axis = axis_over([*ends, 0.0], 0, 100)
    rows = [_interval(pair, axis) for pair in pairs]
    return Intervals(rows, axis.at(0.0), axis.ticks(5))


def _interval(pair: ComparedPair, axis: Axis) -> Interval:
    result = pair.result
    low, high, at = (axis.at(100 * value) for value in (result.low, result.high, result.difference))
    return Interval(
        f"{result.first} − {result.second}", sentence(pair), low, high, at, result.is_distinguishable
    )


def _mark(
    group: Group,
    depths: Sequence[int],
    cost: float,
    unit: str,
    ends: tuple[float | None, float | None] = (None, None),
) -> Mark:
    name = f"{group.name}: {points(group.score)}, {cost:.3g} {unit}"
    return Mark(name, style_of(group.method, group.num_layers, depths), cost, 100 * group.score, *ends)
