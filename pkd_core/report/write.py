"""Writes the report of a run: a page for a browser, the same as Markdown and JSON, and a figure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from pkd_core.report.content import Report
from pkd_core.report.figure import save_figure
from pkd_core.report.markdown import all_notes, markdown_report
from pkd_core.report.page.render import html_report
from pkd_core.report.results import METHODS, BaseModel, Group, ResultRow, aggregate
from pkd_core.report.summary import FILE, GroupSummary
from pkd_core.report.tables import Published
from pkd_core.report.text_table import text_table

__all__ = [
    "METHODS",
    "BaseModel",
    "Group",
    "Published",
    "Report",
    "ResultRow",
    "aggregate",
    "results_table",
    "write_report",
]

_FORMAT_VERSION = 3


def write_report(folder: Path, report: Report) -> None:
    """Write `report.html`, `report.md`, `report.json` and `report.png`.

    The same report, with rows in the same order, gives the same bytes; the page names the versions of libraries too.

    Args:
        folder: An existing folder.
        report: What to show.
    """
    groups = aggregate(report.rows)
    values = {
        "format_version": _FORMAT_VERSION,
        **_about_models(report.base_model),
        "command": report.command,
        "groups": [asdict(_summary(group, report.published)) for group in groups],
        "rows": [asdict(row) for group in groups for row in group.rows],
        "failures": dict(report.failures),
        "differences": [asdict(pair) for pair in report.pairs],
        "labels": [asdict(one) for one in report.labels],
        "distances": [asdict(one) for one in report.distances],
        "notes": all_notes(report, groups),
    }
    text = json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown_report(report, "report.png"), encoding="utf-8")
    (folder / "report.html").write_text(html_report(report), encoding="utf-8")
    save_figure(groups, folder / "report.png")


def results_table(rows: Sequence[ResultRow], failures: Mapping[str, str], base_model: BaseModel) -> str:
    """Return the results as a plain-text table, followed by what they belong to and by the failures."""
    return text_table(aggregate(rows), failures, base_model)


def _about_models(base_model: BaseModel) -> dict[str, dict[str, str]]:
    models = {"base_model": base_model, "student_base_model": base_model.student}
    return {
        key: {"name": model.name, "digest": model.digest}
        for key, model in models.items()
        if model is not None
    }


def _summary(group: Group, published: Published | None) -> GroupSummary:
    score = published(group.task, group.method, group.num_layers) if published else None
    return GroupSummary.of(group, score)
