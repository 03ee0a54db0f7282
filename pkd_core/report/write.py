"""Writes the report of a run: a Markdown page, the same results as JSON, and a figure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from pkd_core.report.differences import ComparedPair, notes_on_differences
from pkd_core.report.figure import save_figure
from pkd_core.report.markdown import Published, markdown_report
from pkd_core.report.notes import notes
from pkd_core.report.results import METHODS, BaseModel, Group, ResultRow, aggregate
from pkd_core.report.summary import FILE, GroupSummary
from pkd_core.report.text_table import text_table

__all__ = [
    "METHODS",
    "BaseModel",
    "Group",
    "Published",
    "ResultRow",
    "aggregate",
    "results_table",
    "write_report",
]

_FORMAT_VERSION = 2


def write_report(
    folder: Path,
    rows: Sequence[ResultRow],
    failures: Mapping[str, str],
    base_model: BaseModel,
    published: Published | None = None,
    pairs: Sequence[ComparedPair] = (),
) -> None:
    """Write `report.md`, `report.json` and `report.png`; the same rows in the same order give the same bytes.

    Args:
        folder: An existing folder.
        rows: One for each trained model; tasks are shown in order of first appearance.
        failures: Reason of failure by stage.
        base_model: The pretrained model of all of them.
        published: Returns the published dev score of (task, method, depth) as a fraction, or None.
        pairs: Which methods can be told apart.
    """
    groups = aggregate(rows)
    report = {
        "format_version": _FORMAT_VERSION,
        "base_model": asdict(base_model),
        "groups": [asdict(_summary(group, published)) for group in groups],
        "rows": [asdict(row) for group in groups for row in group.rows],
        "failures": dict(failures),
        "differences": [asdict(pair) for pair in pairs],
        "notes": [*notes(groups, failures), *notes_on_differences(pairs)],
    }
    text = json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text(
        markdown_report(groups, failures, base_model, published, "report.png", pairs), encoding="utf-8"
    )
    save_figure(groups, folder / "report.png")


def results_table(rows: Sequence[ResultRow], failures: Mapping[str, str], base_model: BaseModel) -> str:
    """Return the results as a plain-text table, followed by what they belong to and by the failures."""
    return text_table(aggregate(rows), failures, base_model)


def _summary(group: Group, published: Published | None) -> GroupSummary:
    score = published(group.task, group.method, group.num_layers) if published else None
    return GroupSummary.of(group, score)
