"""The table of all tasks in the layout of the paper's Table 1: what was not run is left empty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pkd_core.report.cells import interval, metric_name, points, remark, score_and_deviation, signed_points
from pkd_core.report.page.plots import style_of
from pkd_core.report.results import METHODS, TEST, Group, by_task, depth_name
from pkd_core.report.tables import Published

# The columns of the paper's Table 1.
_PAPER_TASKS = ("SST-2", "MRPC", "QQP", "MNLI", "QNLI", "RTE")
# The methods of the paper have rows whether they were run or not.
_METHOD_NAMES = {
    "teacher": "Teacher",
    "finetune": "Fine-tuned",
    "kd": "Vanilla KD",
    "pkd-skip": "PKD, skip",
    "pkd-last": "PKD, last",
}


@dataclass(frozen=True)
class Cell:
    """One method's result on one task.

    Attributes:
        score: Mean and standard deviation, × 100.
        interval: 95 % interval, or a dash.
        published: The authors' score, or a dash.
        difference: Ours minus that, in points.
        is_best: Whether no other student of its depth has a higher score, and one has a lower one.
        remark: What a reader must know of a model that has learnt nothing.
    """

    score: str
    interval: str
    published: str
    difference: str
    is_best: bool
    remark: str


@dataclass(frozen=True)
class Column:
    """One task and labelled split."""

    title: str
    metric: str
    note: str


@dataclass(frozen=True)
class Line:
    """One method and depth; None where it was not run."""

    name: str
    style: str
    is_first: bool
    cells: Sequence[Cell | None]


@dataclass(frozen=True)
class Overview:
    """The table."""

    columns: Sequence[Column]
    lines: Sequence[Line]


def overview(groups: Sequence[Group], published: Published | None) -> Overview:
    """Return the table of the groups; with a task of the paper, all tasks of the paper are columns."""
    tasks = by_task(groups)
    paper = _PAPER_TASKS if set(tasks) & set(_PAPER_TASKS) else ()
    order = [*paper, *(task for task in tasks if task not in paper)]
    keys = [(task, key) for task in order for key in _score_keys(tasks.get(task, ()))]
    by_name = {(group.task, group.method, group.num_layers): group for group in groups}
    teachers = sorted({group.num_layers for group in groups if group.method == "teacher"}, reverse=True)
    students = sorted({group.num_layers for group in groups if group.method != "teacher"}, reverse=True)
    names = [("teacher", depth) for depth in teachers]
    methods = [
        method for method in METHODS if method in _METHOD_NAMES or method in {one.method for one in groups}
    ]
    names += [(method, depth) for depth in students for method in methods if method != "teacher"]
    lines = []
    for number, (method, depth) in enumerate(names):
        cells = [
            _cell(by_name.get((task, method, depth)), key, tasks.get(task, ()), published)
            for task, key in keys
        ]
        is_first = (number > 0 and names[number - 1][1] != depth) or number == len(teachers)
        name = f"{_METHOD_NAMES.get(method, method)}, {depth_name(depth)}"
        lines.append(Line(name, style_of(method, depth, ()), is_first, cells))
    return Overview([_column(task, key, tasks) for task, key in keys], lines)


def _score_keys(groups: Sequence[Group]) -> list[str | None]:
    """Return the final score, and the same metric on further labelled splits; None for a task that was not run."""
    if not groups:
        return [None]
    final = groups[0].final
    metric = final.partition("/")[2]
    others = [key for key in groups[0].mean if key.partition("/")[2] == metric and key != final]
    return [final, *others]


def _column(task: str, key: str | None, tasks: Mapping[str, Sequence[Group]]) -> Column:
    if key is None:
        return Column(task, "", "not run")
    group = tasks[task][0]
    split, _, metric = key.partition("/")
    name = split if group.final_split == TEST else split.removeprefix("dev").strip("-")
    num_scored = group.rows[0].num_scored if key == group.final else None
    return Column(
        f"{task} {name}".strip(), metric_name(metric), f"{num_scored} {split} rows" if num_scored else ""
    )


def _cell(
    group: Group | None, key: str | None, of_task: Sequence[Group], published: Published | None
) -> Cell | None:
    if group is None or key is None or key not in group.mean:
        return None
    is_final = key == group.final
    known = published(group.task, group.method, group.num_layers) if published and is_final else None
    others = [
        other.mean[key]
        for other in of_task
        if other.num_layers == group.num_layers and other.method != "teacher" and key in other.mean
    ]
    return Cell(
        score=score_and_deviation(group, key),
        interval=interval(group) if is_final and group.interval else "",
        published="" if known is None else points(known),
        difference="" if known is None else signed_points(group.score - known),
        is_best=group.method != "teacher" and group.mean[key] >= max(others) > min(others),
        remark=remark(group),
    )
