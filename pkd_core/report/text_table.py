"""The report as a table for a terminal of 80 columns: fewer figures than the page has."""

from collections.abc import Mapping, Sequence

from pkd_core.report.cells import comparison, flat, interval, metric_name, points, remark, score_and_deviation
from pkd_core.report.columns import in_columns
from pkd_core.report.first_weights import different_starts
from pkd_core.report.results import BaseModel, Group, by_task

_HEADINGS = (
    "model",
    "score",
    "95 %\ninterval",
    "vs\nteacher",
    "gap\nclosed",
    "times\nsmaller",
    "times\nfaster",
)


def text_table(groups: Sequence[Group], failures: Mapping[str, str], base_model: BaseModel) -> str:
    """Return a line for each group, below a line for its task; then what all belong to, and a line for each failure."""
    failed = [f"FAILED {name}: {flat(reason)}" for name, reason in failures.items()]
    if not groups:
        return "\n".join(failed)
    rows: list[Sequence[str] | str] = []
    for number, of_task in enumerate(by_task(groups).values()):
        rows += [""] if number else []
        rows.append(_title(of_task))
        for group in of_task:
            rows.append(_cells(group))
            rows += [f"    ! {remark(group)}"] if remark(group) else []
    lines = in_columns(_HEADINGS, rows)
    lines += ["", f"base model: {flat(base_model.name)} (weights {base_model.short_digest})"]
    if (student := base_model.student) is not None:
        lines.append(f"students' base model: {flat(student.name)} (weights {student.short_digest})")
    lines += [
        f"{task}: finetune starts from {plain}, distilled students from {distilled}"
        for task, (plain, distilled) in different_starts(groups).items()
    ]
    machines = dict.fromkeys(group.speed.where for group in groups if group.speed)
    lines += [f"times faster: on {machine}" for machine in machines]
    return "\n".join([*lines, *([""] if failed else []), *failed])


def _title(of_task: Sequence[Group]) -> str:
    first = of_task[0]
    num_scored = first.rows[0].num_scored
    examples = f" on {num_scored} {first.final_split} examples" if num_scored else ""
    baseline = first.rows[0].baseline
    level = "" if baseline is None else f"; most frequent answer {points(baseline)}"
    return f"{first.task}: {metric_name(first.final, beside=first.final_split)}{examples}, {_seeds(of_task)}{level}"


def _seeds(of_task: Sequence[Group]) -> str:
    """Return how many seeds the students have; all have equally many unless some failed."""
    numbers = sorted({len(group.rows) for group in of_task if group.method != "teacher"} or {1})
    shown = " to ".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))
    return "1 seed" if shown == "1" else f"{shown} seeds"


def _cells(group: Group) -> list[str]:
    vs_teacher, gap_closed, _parameters, _size, smaller, faster = comparison(group)
    return [group.name, score_and_deviation(group), interval(group), vs_teacher, gap_closed, smaller, faster]
