"""What one small plot of the picture shows: the models of one task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pkd_core.report.cells import metric_name
from pkd_core.report.results import METHODS, Group

# Okabe and Ito's colours, which stay apart for colour-blind eyes; line styles repeat the difference.
COLORS = {"finetune": "#D55E00", "kd": "#0072B2", "pkd-skip": "#009E73", "pkd-last": "#CC79A7"}
_LINES: Mapping[str, Literal[":", "--", "-", "-."]] = {
    "finetune": ":",
    "kd": "--",
    "pkd-skip": "-",
    "pkd-last": "-.",
}
_MARKERS = "osD^vP"
_TEACHER = "#222222"
_FAINT = "#7a7a7a"
SMALL, NORMAL, LARGE = 8, 9, 12


@dataclass(frozen=True)
class Series:
    """What all plots of a picture share.

    Attributes:
        methods: The students' methods, from left to right.
        depths: The students' depths, deep ones first; a marker each.
        by_speed: Whether cost is measured speed; otherwise the number of parameters.
    """

    methods: tuple[str, ...]
    depths: tuple[int, ...]
    by_speed: bool

    @classmethod
    def of(cls, groups: Sequence[Group]) -> "Series":
        """Return what these groups need; speed counts where it was measured for every student."""
        students = [group for group in groups if group.method != "teacher"]
        return cls(
            methods=tuple(method for method in METHODS if method in {group.method for group in students}),
            depths=tuple(sorted({group.num_layers for group in students}, reverse=True)),
            by_speed=all(group.speed_ratio is not None for group in students),
        )

    def marker(self, depth: int) -> str:
        """Return the marker of a depth."""
        return _MARKERS[self.depths.index(depth) % len(_MARKERS)]

    def cost(self, group: Group) -> float:
        """Return where a group stands on the axis of speed (the teacher at 1) or size."""
        return (group.speed_ratio or 1.0) if self.by_speed else group.rows[0].parameters / 1e6


def prepare(axes: Axes, task: str, groups: Sequence[Group]) -> None:
    """Name task and metric, and set limits that show the models' differences."""
    axes.set_title(task, fontsize=NORMAL + 1, weight="bold", loc="left")
    axes.set_ylabel(f"dev {metric_name(groups[0].selection)} × 100", fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_ylim(*_limits(groups, baseline=None))


def draw_scores(axes: Axes, groups: Sequence[Group], series: Series) -> None:
    """Draw each student's mean by method, its deviation and single seeds, with teacher and baseline across."""
    axes.set_ylim(*_limits(groups, groups[0].rows[0].baseline))
    _draw_levels(axes, groups)
    step = 0.6 / len(series.depths) if series.depths else 0.0
    for group in groups:
        if group.method == "teacher":
            continue
        position = series.depths.index(group.num_layers) - (len(series.depths) - 1) / 2
        x = series.methods.index(group.method) + step * position
        color = COLORS[group.method]
        std = group.std[group.selection]
        if std is not None:
            seeds = [100 * row.scores[group.selection] for row in group.rows]
            axes.plot([x - 0.4 * step] * len(seeds), seeds, ".", color=color, alpha=0.45, markersize=4)
            axes.errorbar(x, 100 * group.score, yerr=100 * std, color=color, capsize=3, elinewidth=1.3)
        _draw_point(axes, x, group, series)
    axes.set_xlim(-0.6, max(len(series.methods), 1) - 0.4)
    axes.set_xticks(range(len(series.methods)), series.methods)


def draw_costs(axes: Axes, groups: Sequence[Group], series: Series) -> None:
    """Draw each model's mean against its speed or size; a line joins the depths of a method."""
    for method in series.methods:
        of_method = [group for group in groups if group.method == method]
        x = [series.cost(group) for group in of_method]
        y = [100 * group.score for group in of_method]
        axes.plot(x, y, color=COLORS[method], linestyle=_LINES[method], linewidth=1.3, zorder=1)
        for group in of_method:
            _draw_point(axes, series.cost(group), group, series)
    for group in groups:
        if group.method == "teacher":
            axes.plot(series.cost(group), 100 * group.score, "*", color=_TEACHER, markersize=12)
    axes.margins(x=0.1)


def legend(groups: Sequence[Group], series: Series) -> list[Line2D]:
    """Return what explains colours, markers and lines."""
    handles = [
        Line2D([], [], color=COLORS[method], linestyle=_LINES[method], linewidth=2.5, label=method)
        for method in series.methods
    ]
    for depth in series.depths:
        label = "1 layer" if depth == 1 else f"{depth} layers"
        handles.append(Line2D([], [], color=_FAINT, marker=series.marker(depth), linestyle="", label=label))
    if any(group.method == "teacher" for group in groups):
        handles.append(Line2D([], [], color=_TEACHER, marker="*", markersize=10, label="teacher"))
    if any(group.rows[0].baseline is not None for group in groups):
        handles.append(Line2D([], [], color=_FAINT, linestyle=(0, (4, 3)), label="most frequent answer"))
    return handles


def _limits(groups: Sequence[Group], baseline: float | None) -> tuple[float, float]:
    """Return y limits that hold all models, and the baseline where that is not far below them."""
    deviations = [group.std[group.selection] or 0.0 for group in groups]
    low = 100 * min(group.score - std for group, std in zip(groups, deviations, strict=True))
    high = 100 * max(group.score + std for group, std in zip(groups, deviations, strict=True))
    if baseline is not None and low - 100 * baseline < max(high - low, 2.0):
        low, high = min(low, 100 * baseline), max(high, 100 * baseline)
    margin = 0.12 * max(high - low, 2.0)
    return low - margin, high + margin


def _draw_point(axes: Axes, x: float, group: Group, series: Series) -> None:
    axes.plot(
        x,
        100 * group.score,
        marker=series.marker(group.num_layers),
        color=COLORS[group.method],
        markeredgecolor="white",
        markeredgewidth=0.7,
        markersize=7,
        zorder=3,
    )


def _draw_levels(axes: Axes, groups: Sequence[Group]) -> None:
    """Draw teacher and baseline across, each with its figure at the right; a baseline out of sight is told."""
    low, high = axes.get_ylim()
    levels = [(100 * group.score, _TEACHER) for group in groups if group.method == "teacher"]
    for level, color in levels:
        axes.axhline(level, color=color, linewidth=1.2, zorder=1)
    baseline = groups[0].rows[0].baseline
    if baseline is not None and 100 * baseline > low:
        levels.append((100 * baseline, _FAINT))
        axes.axhline(100 * baseline, color=_FAINT, linestyle=(0, (4, 3)), linewidth=1.2, zorder=1)
    elif baseline is not None:
        text = f"most frequent answer {100 * baseline:.1f} ↓"
        axes.text(0.99, 0.02, text, transform=axes.transAxes, ha="right", fontsize=SMALL - 1, color=_FAINT)
    levels.sort(key=lambda level: level[0], reverse=True)
    # Figures of levels that nearly meet are put above the upper and below the lower one.
    close = len(levels) > 1 and levels[0][0] - levels[-1][0] < 0.08 * (high - low)
    places = ("bottom", "top") if close else ("center_baseline", "center_baseline")
    for (level, color), place in zip(levels, places, strict=False):
        at = axes.get_yaxis_transform()
        axes.text(1.01, level, f"{level:.1f}", transform=at, va=place, fontsize=SMALL, color=color)
