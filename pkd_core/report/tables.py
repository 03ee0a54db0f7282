"""The tables that the report's forms share, each as headings and rows of plain text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pkd_core.report.cells import (
    ABSENT,
    COMPARISON_HEADINGS,
    INTERVAL_HEADING,
    comparison,
    epoch,
    interval,
    joined,
    metric_name,
    points,
    remark,
    score,
    signed_points,
)
from pkd_core.report.results import Group, by_task

Published = Callable[[str, str, int], float | None]


@dataclass(frozen=True)
class Table:
    """A table of plain text; each row has a cell for each heading."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def overview_table(groups: Sequence[Group]) -> Table:
    """Return the final scores, with a row for each method and depth and a column for each task."""
    tasks = by_task(groups)
    scores = {(group.name, group.task): score(group, group.final) for group in groups}
    order = sorted(groups, key=lambda group: (group.method != "teacher", -group.num_layers))
    rows = [["metric", *(metric_name(of_task[0].final) for of_task in tasks.values())]]
    for name in dict.fromkeys(group.name for group in order):
        rows.append([name, *(scores.get((name, task), ABSENT) for task in tasks)])
    rows.append(
        ["most frequent answer", *(points(of_task[0].rows[0].baseline) for of_task in tasks.values())]
    )
    return Table(["", *tasks], rows)


def task_table(groups: Sequence[Group], published: Published | None) -> Table:
    """Return everything that was measured of one task's models, beside the authors' scores if there are any."""
    final, split = groups[0].final, groups[0].final_split
    others = list(dict.fromkeys(key for group in groups for key in group.mean if key != final))
    with_interval = any(group.interval for group in groups)
    headings = ["model", metric_name(final, beside=split), *([INTERVAL_HEADING] if with_interval else [])]
    headings += [*COMPARISON_HEADINGS, *(metric_name(key, beside=split) for key in others)]
    rows = [
        [
            group.name,
            score(group, final),
            *([interval(group)] if with_interval else []),
            *comparison(group),
            *(score(group, key) if key in group.mean else ABSENT for key in others),
        ]
        for group in groups
    ]
    if published is not None:
        headings += ["published", "vs published"]
        for row, group in zip(rows, groups, strict=True):
            known = published(group.task, group.method, group.num_layers)
            row += [points(known), signed_points(None if known is None else group.score - known)]
    if any(map(remark, groups)):
        headings.append("remark")
        for row, group in zip(rows, groups, strict=True):
            row.append(remark(group))
    return Table(headings, rows)


@dataclass(frozen=True)
class UsedSettings:
    """The settings of all models.

    Attributes:
        shared: Key and value of the settings with a single value.
        keys: Keys of the others.
        table: The others' values, a row for each group; its headings are `keys` between those of the row.
    """

    shared: Sequence[tuple[str, str]]
    keys: Sequence[str]
    table: Table


def used_settings(groups: Sequence[Group]) -> UsedSettings:
    """Return the settings that the groups were trained with."""
    used = [_settings_of(group) for group in groups]
    keys = sorted({key for settings in used for key in settings})
    values = {key: list(dict.fromkeys(settings[key] for settings in used if key in settings)) for key in keys}
    differing = [key for key in keys if len(values[key]) > 1]
    headings = ["task", "model", *differing, "best epoch", "settings from"]
    rows = [
        [
            group.task,
            group.name,
            *(settings.get(key, ABSENT) for key in differing),
            ", ".join(epoch(row.best_epoch) for row in group.rows),
            joined(row.preset for row in group.rows),
        ]
        for group, settings in zip(groups, used, strict=True)
    ]
    shared = [(key, values[key][0]) for key in keys if len(values[key]) == 1]
    return UsedSettings(shared, differing, Table(headings, rows))


def _settings_of(group: Group) -> dict[str, str]:
    """Return a group's settings, and those of its extra values that are text or numbers."""
    values: dict[str, list[Any]] = {}
    for row in group.rows:
        extra = {
            k: v
            for k, v in row.extra.items()
            if k not in ("num_dev", "num_test") and isinstance(v, str | int | float)
        }
        for key, value in {**row.settings, **extra}.items():
            values.setdefault(key, []).append(value)
    return {key: joined(values_of_key) for key, values_of_key in values.items()}
