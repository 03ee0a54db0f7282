"""The report as a Markdown page."""

from collections.abc import Sequence
from statistics import median

from pkd_core.report.by_label import about_labels, f1_table, precision_and_recall_table
from pkd_core.report.cells import flat, markdown_table, metric_name, points
from pkd_core.report.content import Report
from pkd_core.report.differences import by_task as by_task_pairs
from pkd_core.report.differences import differences_table, notes_on_differences
from pkd_core.report.distances import about_distances, distances_tables
from pkd_core.report.notes import notes
from pkd_core.report.results import TEST, BaseModel, Group, aggregate, by_task, depth_name
from pkd_core.report.tables import Table, overview_table, task_table, used_settings


def markdown_report(report: Report, figure: str) -> str:
    """Return the complete page, with a link to a figure by its file name."""
    groups = aggregate(report.rows)
    parts = ["# Results", _about_models(report.base_model)]
    parts.append(
        f"![Scores by method, and against speed or size]({figure})" if groups else "Nothing to show."
    )
    if report.failures:
        parts += [
            "## Failed",
            "\n".join(f"- **{name}**: {flat(reason)}" for name, reason in report.failures.items()),
        ]
    if len(by_task(groups)) > 1:
        parts += ["## All tasks", _markdown(overview_table(groups))]
    for task, of_task in by_task(groups).items():
        parts += [f"## {task}", about_task(of_task), _markdown(task_table(of_task, report.published))]
        if of_pairs := by_task_pairs(report.pairs).get(task):
            parts.append(_markdown(differences_table(of_pairs)))
        if labels := [one for one in report.labels if one.task == task]:
            parts += [about_labels(labels), _markdown(f1_table(labels))]
            parts.append(_markdown(precision_and_recall_table(labels)))
        if distances := [one for one in report.distances if one.task == task]:
            parts += [about_distances(distances), *map(_markdown, distances_tables(distances))]
    if groups:
        parts += ["## Settings", *_settings(groups)]
        parts += [f"    {report.command}"] if report.command else []
    parts += ["## Notes", "\n".join(f"- {note}" for note in all_notes(report, groups))]
    return "\n\n".join(parts) + "\n"


def all_notes(report: Report, groups: Sequence[Group]) -> list[str]:
    """Return everything that a reader needs to know of the numbers."""
    texts = [*notes(groups, report.failures), *notes_on_differences(report.pairs)]
    if report.published is not None:
        texts.append(
            "Published are the authors' best single runs, chosen on dev among many settings, from their result files; "
            "the paper's base model is bert-base-uncased."
        )
    elif report.no_published:
        texts.append(f"No comparison with the authors' published figures: {report.no_published}.")
    return texts


def _about_models(base_model: BaseModel) -> str:
    sentences = [f"Base model: `{flat(base_model.name)}` (weights `{base_model.short_digest}`)."]
    if (student := base_model.student) is not None:
        sentences.append(f"Students' base model: `{flat(student.name)}` (weights `{student.short_digest}`).")
    return " ".join([*sentences, base_model.remark]).rstrip()


def _markdown(table: Table) -> str:
    return markdown_table(table.headings, table.rows)


def about_task(groups: Sequence[Group]) -> str:
    """Return a sentence or two of how a task's models were scored and timed."""
    first, split = groups[0].rows[0], groups[0].final_split
    parts = [f"Selected by {metric_name(first.selection)}"]
    if first.extra.get("num_dev"):
        parts[0] += f" on {first.extra['num_dev']} dev examples"
    if split == TEST:
        parts.append(f"scored on {first.num_scored} test examples, which chose nothing")
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


def _settings(groups: Sequence[Group]) -> list[str]:
    """Return a line of the settings with a single value, if any, and a table of the others."""
    used = used_settings(groups)
    shared = ", ".join(f"`{key}` {value}" for key, value in used.shared)
    headings = [f"`{heading}`" if heading in used.keys else heading for heading in used.table.headings]
    return [
        *([f"The same wherever they apply: {shared}."] if shared else []),
        markdown_table(headings, used.table.rows),
    ]
