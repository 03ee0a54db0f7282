"""The report's picture: dev scores by method, and against speed or size, one small plot a task."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from pkd_core.report.axes import LARGE, NORMAL, Series, draw_costs, draw_scores, legend, prepare
from pkd_core.report.results import Group, by_task

_MAX_COLUMNS = 3
_PLOT_INCHES = (3.9, 2.5)
_LEGEND_ENTRY_INCHES = 1.3


def save_figure(groups: Sequence[Group], path: Path) -> None:
    """Write the picture as PNG; the same groups give the same bytes.

    Args:
        groups: What `aggregate` returned; none gives a picture that says so.
        path: File to write.
    """
    figure = draw_figure(groups) if groups else _empty()
    # Left alone, matplotlib would write its version into the file.
    figure.savefig(path, format="png", metadata={"Software": None})


def _empty() -> Figure:
    figure = Figure(figsize=(6, 2), dpi=150)
    figure.text(0.5, 0.5, "No results", ha="center", va="center", fontsize=LARGE)
    return figure


def draw_figure(groups: Sequence[Group]) -> Figure:
    """Return the picture of at least one group as a figure, which belongs to no window and no global state."""
    tasks = by_task(groups)
    series = Series.of(groups)
    figure, scores_part, costs_part = _frame(len(tasks))
    what = next(iter(tasks)) if len(tasks) == 1 else f"{len(tasks)} tasks"
    figure.suptitle(f"Patient knowledge distillation on {what}", fontsize=LARGE + 2, weight="bold")
    scores_part.suptitle(f"Dev score by method ({_seeds(groups)})", fontsize=LARGE - 1)
    costs_part.suptitle(f"Dev score against {'speed' if series.by_speed else 'size'}", fontsize=LARGE - 1)
    cost_label = "times faster than the teacher" if series.by_speed else "parameters, millions"
    score_plots = _grid(scores_part, len(tasks), "method")
    cost_plots = _grid(costs_part, len(tasks), cost_label)
    for score_axes, cost_axes, (task, of_task) in zip(score_plots, cost_plots, tasks.items(), strict=True):
        for axes in (score_axes, cost_axes):
            prepare(axes, task, of_task)
        draw_scores(score_axes, of_task, series)
        draw_costs(cost_axes, of_task, series)
    handles = legend(groups, series)
    num_lines = ceil(len(handles) * _LEGEND_ENTRY_INCHES / figure.get_figwidth())
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=ceil(len(handles) / num_lines),
        fontsize=NORMAL,
        frameon=False,
        handlelength=2.6,
    )
    return figure


def _frame(num_tasks: int) -> tuple[Figure, SubFigure, SubFigure]:
    """Return the figure and its two parts, side by side for a single task, else one above the other."""
    width, height = _PLOT_INCHES
    if num_tasks == 1:
        figure = Figure(figsize=(10.5, 4.8), dpi=150, layout="constrained")
        parts = figure.subfigures(1, 2, squeeze=False)
    else:
        num_rows = ceil(num_tasks / _num_columns(num_tasks))
        size = (width * _num_columns(num_tasks), 2 * (height * num_rows + 0.5) + 0.9)
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        parts = figure.subfigures(2, 1, squeeze=False, hspace=0.02)
    first, second = parts.flat
    return figure, first, second


def _grid(part: SubFigure, num_tasks: int, x_label: str) -> list[Axes]:
    """Return a plot a task; those without another below them name the x axis."""
    num_columns = _num_columns(num_tasks)
    every: list[Axes] = list(part.subplots(ceil(num_tasks / num_columns), num_columns, squeeze=False).flat)
    for unused in every[num_tasks:]:
        unused.remove()
    for axes in every[max(num_tasks - num_columns, 0) : num_tasks]:
        axes.set_xlabel(x_label, fontsize=NORMAL)
    return every[:num_tasks]


def _num_columns(num_tasks: int) -> int:
    return 2 if num_tasks == 4 else min(num_tasks, _MAX_COLUMNS)


def _seeds(groups: Sequence[Group]) -> str:
    if all(len(group.rows) == 1 for group in groups):
        return "one seed each"
    return "mean ± standard deviation; dots: single seeds"
