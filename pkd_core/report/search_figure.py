"""The figure of a search: each point's score against each setting that was searched, a row of plots for each round."""

from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pkd_core.config.search import short_name, show_value
from pkd_core.report.cells import metric_name
from pkd_core.report.search_results import SearchResult, TriedRound

_POINT, _MEAN, _BEST = "#7a7a7a", "#0072B2", "#D55E00"


def save_search_figure(result: SearchResult, path: Path) -> None:
    """Write the figure as PNG; the same result gives the same bytes."""
    # By default, matplotlib writes its version into the file.
    draw_search(result).savefig(path, format="png", metadata={"Software": None})


def draw_search(result: SearchResult) -> Figure:
    """Return a figure with a row of plots for each round that had a choice."""
    rounds = [one for one in result.rounds if one.searched]
    figure = Figure(figsize=(9, 1.3 + 2.4 * len(rounds)), dpi=150, layout="constrained")
    examples = "dev examples" if result.held_out is None else "rows held out of train"
    figure.suptitle(
        f"{result.task}: {metric_name(result.metric)} × 100 on {result.num_chosen_by} {examples}\n"
        "grey: points; blue: mean over the other settings; red: chosen"
    )
    if not rounds:
        return figure
    num_columns = max(len(one.searched) for one in rounds)
    plots = figure.subplots(len(rounds), num_columns, sharey="row", squeeze=False)
    for row, one in zip(plots, rounds, strict=True):
        for axes, key in zip(row, one.searched, strict=False):
            _draw(axes, one, key)
        row[0].set_ylabel(one.method, weight="bold")
        for axes in row[len(one.searched) :]:
            axes.axis("off")
    return figure


def _draw(axes: Axes, one: TriedRound, key: str) -> None:
    values = sorted({point.settings[key] for point in one.points})
    for point in one.points:
        axes.plot(values.index(point.settings[key]), 100 * point.mean, ".", color=_POINT, alpha=0.6)
    axes.plot(range(len(values)), [_mean_at(one, key, value) for value in values], "-", color=_MEAN)
    best = one.best
    axes.plot(values.index(best.settings[key]), 100 * best.mean, "o", color=_BEST, fillstyle="none")
    axes.set_xticks(range(len(values)), [show_value(value) for value in values])
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_xlabel(short_name(key))
    axes.grid(axis="y", alpha=0.25)


def _mean_at(one: TriedRound, key: str, value: Any) -> float:
    return 100 * fmean(point.mean for point in one.points if point.settings[key] == value)
