"""The report as a Markdown page."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from pkd_core.report.cells import (
    ABSENT,
    COMPARISON_HEADINGS,
    INTERVAL_HEADING,
    comparison,
    flat,
    interval,
    joined,
    markdown_table,
    metric_name,
    points,
    remark,
    score,
)
from pkd_core.report.differences import ComparedPair, differences_table, notes_on_differences
from pkd_core.report.differences import by_task as by_task_pairs
from pkd_core.report.notes import notes
from pkd_core.report.results import BaseModel, Group, by_task, depth_name

Published = Callable[[str, str, int], float | None]


def markdown_report(
    groups: Sequence[Group],
    failures: Mapping[str, str],
    base_model: BaseModel,
    published: Published | None,
    figure: str,
    pairs: Sequence[ComparedPair] = (),
) -> str:
    """Return the complete page.

    Args:
        groups: What `aggregate` returned.
        failures: Reason of failure by stage.
        base_model: The pretrained model of all of them.
        published: Returns the published dev score of (task, method, depth) as a fraction, or None.
        figure: File name of the figure.
        pairs: Which methods can be told apart.
    """
    parts = ["# Results", f"Base model: `{flat(base_model.name)}` (weights `{base_model.short_digest}`)."]
    parts.append(
        f"![Dev scores by method, and against speed or size]({figure})" if groups else "Nothing to show."
    )
    if failures:
        parts += [
            "## Failed",
            "\n".join(f"- **{name}**: {flat(reason)}" for name, reason in failures.items()),
        ]
    if len(by_task(groups)) > 1:
        parts += ["## All tasks", _overview(groups)]
    for task, of_task in by_task(groups).items():
        parts += [f"## {task}", _about_task(of_task), _task_table(of_task, published)]
        if of_pairs := by_task_pairs(pairs).get(task):
            parts.append(differences_table(of_pairs))
    if groups:
        parts += ["## Settings", *_settings(groups)]
    parts += [
        "## Notes",
        "\n".join(f"- {note}" for note in [*notes(groups, failures), *notes_on_differences(pairs)]),
    ]
    return "\n\n".join(parts) + "\n"


def _overview(groups: Sequence[Group]) -> str:
    tasks = by_task(groups)
    scores = {(group.name, group.task): score(group, group.selection) for group in groups}
    order = sorted(groups, key=lambda group: (group.method != "teacher", -group.num_layers))
    rows = [["metric", *(metric_name(of_task[0].selection) for of_task in tasks.values())]]
    for name in dict.fromkeys(group.name for group in order):
        rows.append([name, *(scores.get((name, task), ABSENT) for task in tasks)])
    rows.append(
        ["most frequent answer", *(points(of_task[0].rows[0].baseline) for of_task in tasks.values())]
    )
    return markdown_table(["", *tasks], rows)


def _about_task(groups: Sequence[Group]) -> str:
    first = groups[0].rows[0]
    parts = [f"Selected by {metric_name(first.selection)}"]
    if first.extra.get("num_dev"):
        parts[0] += f" on {first.extra['num_dev']} dev examples"
    if first.baseline is not None:
        parts.append(f"always giving the most frequent answer scores {points(first.baseline)}")
    return "; ".join(parts) + "." + _latencies(groups)


def _latencies(groups: Sequence[Group]) -> str:
    """Return a sentence of what a single text takes in each depth of a task, as a server sees it; empty if unknown."""
    speeds = {group.num_layers: group.speed for group in groups if group.speed is not None}
    if not speeds:
        return ""
    first = next(iter(speeds.values()))
    teacher = median(speed.teacher_text_ms for speed in speeds.values())
    students = (
        f"{_rounded(speed.student_text_ms)} ms with {depth_name(depth)}" for depth, speed in speeds.items()
    )
    return (
        f" A single text of {first.length} tokens takes {_rounded(teacher)} ms in the teacher, {', '.join(students)} "
        f"({first.where})."
    )


def _rounded(milliseconds: float) -> str:
    return f"{milliseconds:.3g}" if milliseconds < 100 else f"{milliseconds:.0f}"


def _task_table(groups: Sequence[Group], published: Published | None) -> str:
    selection = groups[0].selection
    others = list(dict.fromkeys(key for group in groups for key in group.mean if key != selection))
    with_interval = any(group.interval for group in groups)
    headings = ["model", metric_name(selection), *([INTERVAL_HEADING] if with_interval else [])]
    headings += [*COMPARISON_HEADINGS, *map(metric_name, others)]
    rows = [
        [
            group.name,
            score(group, selection),
            *([interval(group)] if with_interval else []),
            *comparison(group),
            *(score(group, key) if key in group.mean else ABSENT for key in others),
        ]
        for group in groups
    ]
    if published is not None:
        headings.append("published")
        for row, group in zip(rows, groups, strict=True):
            row.append(points(published(group.task, group.method, group.num_layers)))
    if any(map(remark, groups)):
        headings.append("remark")
        for row, group in zip(rows, groups, strict=True):
            row.append(remark(group))
    return markdown_table(headings, rows)


def _settings(groups: Sequence[Group]) -> list[str]:
    """Return a line of the settings with a single value, if any, and a table of the others."""
    used = [_settings_of(group) for group in groups]
    keys = sorted({key for settings in used for key in settings})
    values = {key: list(dict.fromkeys(settings[key] for settings in used if key in settings)) for key in keys}
    shared = [f"`{key}` {values[key][0]}" for key in keys if len(values[key]) == 1]
    differing = [key for key in keys if len(values[key]) > 1]
    headings = ["task", "model", *(f"`{key}`" for key in differing), "best epoch", "settings from"]
    rows = [
        [
            group.task,
            group.name,
            *(settings.get(key, ABSENT) for key in differing),
            ", ".join(str(row.best_epoch) for row in group.rows),
            joined(row.preset for row in group.rows),
        ]
        for group, settings in zip(groups, used, strict=True)
    ]
    same = [f"The same wherever they apply: {', '.join(shared)}."] if shared else []
    return [*same, markdown_table(headings, rows)]


def _settings_of(group: Group) -> dict[str, str]:
    """Return a group's settings, and those of its extra values that are text or numbers."""
    values: dict[str, list[Any]] = {}
    for row in group.rows:
        extra = {k: v for k, v in row.extra.items() if k != "num_dev" and isinstance(v, str | int | float)}
        for key, value in {**row.settings, **extra}.items():
            values.setdefault(key, []).append(value)
    return {key: joined(values_of_key) for key, values_of_key in values.items()}
