"""Fills the page of a compression."""

from collections.abc import Sequence
from typing import Any

from pkd_core.report.cells import points
from pkd_core.report.compression.content import Compression
from pkd_core.report.compression.plots import style_of_variant, trade_off
from pkd_core.report.compression.table import variants_table
from pkd_core.report.compression.usage import usages
from pkd_core.report.compression.verdict import judge
from pkd_core.report.compression.words import constant_answer, model_name, score_name, share, where
from pkd_core.report.page.environment import page_environment
from pkd_core.report.page.plot import HEIGHT, WIDTH
from pkd_core.report.tables import Table

# So many labels are shown; of more, those at both ends.
_MAX_LABELS = 30


def html_page(compression: Compression) -> str:
    """Return the page; its only style and picture are inside it, and it has no script."""
    student = compression.student
    environment = page_environment("pkd_core.report.compression")
    return environment.get_template("compression.html").render(
        made=compression,
        teacher=compression.training.teacher,
        student=model_name(compression, student),
        student_style=style_of_variant(student),
        verdict=judge(compression),
        score=score_name(compression),
        constant=constant_answer(compression),
        baseline=points(compression.baseline),
        machine=where(compression.machine) if compression.machine else "",
        figures=variants_table(compression),
        chosen=list(compression.variants).index(student),
        picture=trade_off(compression),
        usages=usages(compression),
        lengths=lengths(compression),
        cut=share(compression.data.share_cut),
        labels=_shown_labels(compression),
        classes=class_table(compression),
        settings=settings_of(compression),
        width=WIDTH,
        height=HEIGHT,
    )


def class_table(compression: Compression) -> Table:
    """Return a row for each label that fell."""
    rows = [
        [
            one.label,
            str(one.num_examples),
            points(one.teacher),
            points(one.student),
            points(one.student - one.teacher),
        ]
        for one in compression.classes
    ]
    return Table(["label", "examples", "teacher", "student", "difference"], rows)


def lengths(compression: Compression) -> str:
    """Return the lengths of training texts in words."""
    found = compression.data.length_percentiles
    return f"median {found[50]} tokens, 95 % up to {found[95]}, longest {found[100]}"


def settings_of(compression: Compression) -> list[tuple[str, str]]:
    """Return how the student was made, on what and with what."""
    training = compression.training
    made: dict[str, Any] = {
        "teacher": training.teacher,
        "layers of the student from": training.student_base,
        "method": compression.student.method,
        "best epoch": training.best_epoch,
        "trained in": training.precision,
        **training.teacher_settings,
        **training.settings,
        **compression.versions,
    }
    if compression.machine:
        made["timed on"] = where(compression.machine)
    return [(name, f"{value:g}" if isinstance(value, float) else str(value)) for name, value in made.items()]


def _shown_labels(compression: Compression) -> Sequence[tuple[str, int]]:
    counts = list(compression.data.label_counts.items())
    if len(counts) <= _MAX_LABELS:
        return counts
    return counts[: _MAX_LABELS // 2] + counts[-_MAX_LABELS // 2 :]
