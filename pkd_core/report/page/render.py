"""Fills the page's templates."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from pkd_core.report.by_label import MethodLabels, about_labels, f1_table, precision_and_recall_table
from pkd_core.report.cells import epoch, joined, metric_name, points
from pkd_core.report.confusion import MAX_CLASSES, Confusion, most_confused
from pkd_core.report.content import Report
from pkd_core.report.differences import by_task as pairs_by_task
from pkd_core.report.differences import differences_table
from pkd_core.report.distances import MethodDistances, about_distances, distances_tables
from pkd_core.report.markdown import about_task, all_notes
from pkd_core.report.page.environment import page_environment
from pkd_core.report.page.overview import overview
from pkd_core.report.page.plot import HEIGHT, WIDTH, Plot
from pkd_core.report.page.plots import (
    Intervals,
    cost_plots,
    course_plots,
    distance_plots,
    interval_rows,
    student_depths,
    style_of,
)
from pkd_core.report.results import Group, ResultRow, aggregate, by_task, depth_name
from pkd_core.report.tables import Table, task_table, used_settings

LIBRARIES = ("pkd", "torch", "transformers", "tokenizers", "numpy", "scipy", "scikit-learn", "pyarrow")


@dataclass(frozen=True)
class Compared:
    """The differences between the methods of one depth."""

    depth: str
    intervals: Intervals
    table: Table


@dataclass(frozen=True)
class Matrix:
    """One method's confusion matrix: for each gold label the mean numbers, and each one's share of the row."""

    name: str
    labels: Sequence[str]
    rows: Sequence[Sequence[tuple[str, float]]]


@dataclass(frozen=True)
class Apart:
    """How far a task's students are from the teacher: in words, as a plot if it was measured, and as tables."""

    about: str
    plots: Sequence[Plot]
    tables: Sequence[Table]


@dataclass(frozen=True)
class ByLabel:
    """How well each label was found: in words, and as tables."""

    about: str
    f1: Table
    details: Table


@dataclass(frozen=True)
class TaskSection:
    """Everything that the page shows of one task."""

    task: str
    about: str
    table: Table
    compared: Sequence[Compared]
    courses: Sequence[Plot]
    apart: Apart | None
    costs: Sequence[Plot]
    by_label: ByLabel | None
    matrices: Sequence[Matrix]
    confused: Table | None
    seeds: Table


def html_report(report: Report) -> str:
    """Return the page; its only style and pictures are inside it, and it has no script."""
    groups = aggregate(report.rows)
    depths = student_depths(groups)
    return (
        page_environment()
        .get_template("page.html")
        .render(
            tasks=list(by_task(groups)),
            base_model=report.base_model,
            failures=report.failures,
            overview=overview(groups, report.published),
            has_published=report.published is not None,
            no_published=report.no_published,
            sections=[_section(task, of_task, report, depths) for task, of_task in by_task(groups).items()],
            legend=_legend(groups, depths),
            settings=used_settings(groups),
            command=report.command,
            machines=list(dict.fromkeys(group.speed.where for group in groups if group.speed)),
            precision=joined(row.extra["precision"] for row in _rows(groups) if "precision" in row.extra),
            versions={"Python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
            notes=all_notes(report, groups),
            width=WIDTH,
            height=HEIGHT,
        )
    )


def _section(task: str, groups: Sequence[Group], report: Report, depths: Sequence[int]) -> TaskSection:
    pairs = pairs_by_task(report.pairs).get(task, [])
    compared = []
    for depth in dict.fromkeys(pair.num_layers for pair in pairs):
        here = [pair for pair in pairs if pair.num_layers == depth]
        compared.append(Compared(depth_name(depth), interval_rows(here), differences_table(here)))
    confusions = [one for one in report.confusions if one.task == task]
    has_few = bool(confusions) and len(confusions[0].labels) <= MAX_CLASSES
    return TaskSection(
        task,
        about_task(groups),
        task_table(groups, report.published),
        compared,
        course_plots([one for one in report.curves if one.task == task], depths),
        _apart([one for one in report.distances if one.task == task], depths),
        cost_plots(groups, depths),
        _by_label([one for one in report.labels if one.task == task]),
        [_matrix(one) for one in confusions] if has_few else [],
        None if has_few or not confusions else _confused_table(confusions),
        _seeds(groups),
    )


def _apart(distances: Sequence[MethodDistances], depths: Sequence[int]) -> Apart | None:
    if not distances:
        return None
    return Apart(about_distances(distances), distance_plots(distances, depths), distances_tables(distances))


def _by_label(models: Sequence[MethodLabels]) -> ByLabel | None:
    if not models:
        return None
    return ByLabel(about_labels(models), f1_table(models), precision_and_recall_table(models))


def _matrix(confusion: Confusion) -> Matrix:
    rows = [
        [(_number(count), round(count / max(sum(counts), 1e-9), 3)) for count in counts]
        for counts in confusion.counts_CC.tolist()
    ]
    return Matrix(_name(confusion), confusion.labels, rows)


def _confused_table(confusions: Sequence[Confusion]) -> Table:
    rows = [[pair.gold, pair.predicted, *map(_number, pair.counts)] for pair in most_confused(confusions)]
    return Table(["label", "predicted instead", *map(_name, confusions)], rows)


def _name(confusion: Confusion) -> str:
    return f"{confusion.method}, {depth_name(confusion.num_layers)}"


def _number(mean: float) -> str:
    return f"{mean:.1f}".removesuffix(".0")


def _seeds(groups: Sequence[Group]) -> Table:
    """Return a table with a row for each trained model."""
    keys = list(dict.fromkeys(key for group in groups for key in group.mean))
    names = [metric_name(key, beside=groups[0].final_split) for key in keys]
    rows = [
        [
            group.name,
            "" if row.seed is None else str(row.seed),
            *(points(row.scores.get(key)) for key in keys),
            epoch(row.best_epoch),
        ]
        for group in groups
        for row in group.rows
    ]
    return Table(["model", "seed", *names, "best epoch"], rows)


def _rows(groups: Sequence[Group]) -> list[ResultRow]:
    return [row for group in groups for row in group.rows]


def _legend(groups: Sequence[Group], depths: Sequence[int]) -> list[tuple[str, str]]:
    """Return the class of each colour, then of each dash and marker, and what it stands for."""
    methods = dict.fromkeys(group.method for group in groups)
    colours = [(style_of(method, 0, ()), method) for method in methods]
    return colours + [
        (style_of("teacher", depth, depths), f"students of {depth_name(depth)}") for depth in depths
    ]
