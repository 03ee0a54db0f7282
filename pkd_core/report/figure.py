"""The report's figure: for each task, scores by method and against speed."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pkd_core.report.cells import metric_name, points, remark
from pkd_core.report.results import METHODS, Group, by_task, depth_name

# Okabe and Ito's palette, which colour-blind readers can distinguish.
_COLORS = {
    "teacher": "#222222",
    "finetune": "#D55E00",
    "kd": "#0072B2",
    "kd.full": "#E69F00",
    "pkd-skip": "#009E73",
    "pkd-last": "#CC79A7",
}
_BASELINE_COLOR = "#7a7a7a"
_BASELINE_NAME = "most frequent answer"
_NO_BETTER = "no better, or one class only"
_MARKERS = "osD^vP"
_PALE = 0.2


def save_figure(groups: Sequence[Group], path: Path) -> None:
    """Write the figure as PNG; the same groups give the same bytes.

    Args:
        groups: What `aggregate` returned; for none, the figure reads "No results".
        path: File to write.
    """
    # By default, matplotlib writes its version into the file.
    draw_figure(groups).savefig(path, format="png", metadata={"Software": None})


def draw_figure(groups: Sequence[Group]) -> Figure:
    """Return a figure with a row of two plots for each task, independent of matplotlib's global state."""
    tasks = by_task(groups)
    figure = Figure(figsize=(9, 1.3 + 2.2 * len(tasks)), dpi=150, layout="constrained")
    if not tasks:
        figure.suptitle("No results")
        return figure
    students = [group for group in groups if group.method != "teacher"]
    methods = [method for method in METHODS if method in {group.method for group in students}]
    depths = sorted({group.num_layers for group in students}, reverse=True)
    markers = dict(zip(depths, cycle(_MARKERS), strict=False))
    has_seeds = any(len(group.rows) > 1 for group in groups)
    subtitle = "mean ± standard deviation; dots are single seeds" if has_seeds else "one seed each"
    subtitle += "; pale: 95 % interval" if any(group.interval for group in groups) else ""
    figure.suptitle(f"Scores ({subtitle})")
    handles = _legend(methods, markers, any_hollow=any(map(remark, groups)))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    plots = figure.subplots(len(tasks), 2, sharey="row", squeeze=False)
    for (left, right), of_task in zip(plots, tasks.values(), strict=True):
        _draw_scores(left, of_task, methods, markers)
        _draw_speeds(right, of_task, methods, markers)
        _draw_levels(left, right, of_task)
    return figure


def _draw_scores(
    axes: Axes, groups: Sequence[Group], methods: Sequence[str], markers: Mapping[int, str]
) -> None:
    """Draw each student's mean by method, its interval, its deviation and its single seeds."""
    step = 0.6 / max(len(markers), 1)
    for group in groups:
        if group.method == "teacher":
            continue
        depth_index = list(markers).index(group.num_layers)
        x = methods.index(group.method) + step * (depth_index - (len(markers) - 1) / 2)
        color, std = _COLORS[group.method], group.std[group.final]
        if group.interval is not None:
            ends = [100 * end for end in group.interval]
            axes.plot([x, x], ends, color=color, alpha=_PALE, linewidth=6, solid_capstyle="butt")
        if std is not None:
            seeds = [100 * row.scores[group.final] for row in group.rows]
            axes.plot([x - 0.4 * step] * len(seeds), seeds, ".", color=color, alpha=0.45)
            axes.errorbar(x, 100 * group.score, 100 * std, color=color, capsize=3)
        axes.plot(x, 100 * group.score, markers[group.num_layers], color=color, markerfacecolor=_fill(group))
    axes.set_xticks(range(len(methods)), methods)
    axes.set_xlim(-0.6, max(len(methods), 1) - 0.4)
    axes.set_title(groups[0].task, loc="left", weight="bold")
    axes.set_ylabel(f"{groups[0].final_split} {_metric(groups)} × 100")


def _draw_speeds(
    axes: Axes, groups: Sequence[Group], methods: Sequence[str], markers: Mapping[int, str]
) -> None:
    """Draw each mean against speed, or against size where no speed was measured; a line joins a method's depths."""
    by_speed = any(group.speed is not None for group in groups)
    for method in ("teacher", *methods):
        of_method = [group for group in groups if group.method == method]
        costs = [_cost(group, by_speed) for group in of_method]
        scores = [100 * group.score for group in of_method]
        axes.plot(costs, scores, color=_COLORS[method])
        for group, cost, score in zip(of_method, costs, scores, strict=True):
            if group.speed is not None:
                ends = [[cost - group.speed.low], [group.speed.high - cost]]
                axes.errorbar(cost, score, xerr=ends, color=_COLORS[method], capsize=2)
            marker = "*" if method == "teacher" else markers[group.num_layers]
            axes.plot(cost, score, marker, color=_COLORS[method], markerfacecolor=_fill(group))
    axes.set_xlabel("times faster than the teacher" if by_speed else "million parameters")
    axes.margins(x=0.1)


def _metric(groups: Sequence[Group]) -> str:
    return metric_name(groups[0].final, beside=groups[0].final_split)


def _fill(group: Group) -> str:
    """Return the colour inside a group's marker: it is hollow if the group has learnt nothing."""
    return "white" if remark(group) else _COLORS[group.method]


def _cost(group: Group, by_speed: bool) -> float:
    if not by_speed:
        return group.rows[0].parameters / 1e6
    return group.speed.ratio if group.speed else 1.0


def _draw_levels(scores_axes: Axes, speeds_axes: Axes, groups: Sequence[Group]) -> None:
    """Draw the teacher's score and the baseline as lines, and write both above the right plot."""
    texts = []
    for group in groups:
        if group.method == "teacher":
            scores_axes.axhline(100 * group.score, color=_COLORS["teacher"])
            if group.interval is not None:
                low, high = group.interval
                scores_axes.axhspan(
                    100 * low, 100 * high, color=_COLORS["teacher"], alpha=_PALE / 2, linewidth=0
                )
            texts.append(f"teacher {points(group.score)}")
    baseline = groups[0].rows[0].baseline
    if baseline is not None:
        low, high = scores_axes.get_ylim()
        scores_axes.axhline(100 * baseline, color=_BASELINE_COLOR, linestyle="--")
        texts.append(f"{_BASELINE_NAME} {points(baseline)}")
        if 100 * baseline < low - (high - low) / 2:  # far below, the line would flatten the differences
            scores_axes.set_ylim(low, high)
    speeds_axes.set_title(", ".join(texts), loc="right", fontsize="medium")


def _legend(methods: Sequence[str], markers: Mapping[int, str], any_hollow: bool) -> list[Line2D]:
    handles = [Line2D([], [], color=_COLORS[method], label=method) for method in methods]
    for depth, marker in markers.items():
        handles.append(Line2D([], [], color="black", marker=marker, linestyle="", label=depth_name(depth)))
    handles.append(Line2D([], [], color=_COLORS["teacher"], marker="*", label="teacher"))
    handles.append(Line2D([], [], color=_BASELINE_COLOR, linestyle="--", label=_BASELINE_NAME))
    if any_hollow:
        hollow = Line2D(
            [], [], color="black", marker="o", markerfacecolor="white", linestyle="", label=_NO_BETTER
        )
        handles.append(hollow)
    return handles
