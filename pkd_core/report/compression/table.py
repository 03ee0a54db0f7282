"""The figures of all variants as a table, for the page and the model card, and in fewer columns for terminals."""

import textwrap
from collections.abc import Iterator, Sequence

from pkd_core.report.cells import ABSENT, INTERVAL_HEADING, points
from pkd_core.report.columns import in_columns
from pkd_core.report.compression.content import FORMATS, Compression
from pkd_core.report.compression.words import (
    constant_answer,
    interval,
    megabytes,
    model_name,
    p50,
    p99,
    score_name,
    share,
    signed,
)
from pkd_core.report.tables import Table

_TERMINAL_HEADINGS = (
    "",
    "score",
    "95 %\ninterval",
    "vs\nteacher",
    "same\nanswer",
    "\nMB",
    "ms a text\np50",
    "\np99",
)


def variants_table(compression: Compression) -> Table:
    """Return a row for each variant, with everything that was measured of it."""
    headings = [
        "model",
        "format",
        score_name(compression),
        INTERVAL_HEADING,
        "vs teacher",
        "vs fine-tuning",
        "teacher's answer",
        "MB",
        "ms a text, p50",
        "p99",
        "texts a second",
    ]
    rows = [
        [
            model_name(compression, one),
            FORMATS[one.format] + (" (refused)" if one.refused else ""),
            points(one.score),
            interval(one),
            signed(one.vs_teacher),
            signed(one.vs_finetuning),
            share(one.agreement),
            megabytes(one.size_bytes),
            p50(one),
            p99(one),
            f"{one.timing.texts_per_second:.0f}" if one.timing else ABSENT,
        ]
        for one in compression.variants
    ]
    return Table(headings, rows)


def terminal_table(compression: Compression) -> str:
    """Return the variants below a line for each model, in 80 columns."""
    title = (
        f"{compression.task}: {score_name(compression)} on {compression.num_examples} {compression.split} examples; "
        f"{constant_answer(compression)} {points(compression.baseline)}"
    )
    lines = [title, "", *in_columns(_TERMINAL_HEADINGS, list(_terminal_rows(compression)))]
    if compression.machine:
        machine = compression.machine
        lines += [
            "",
            f"ms: on {machine.name}, {machine.threads} CPU thread{'s' if machine.threads > 1 else ''}",
        ]
    return "\n".join(lines)


def _terminal_rows(compression: Compression) -> Iterator[Sequence[str] | str]:
    shown = ""
    for one in compression.variants:
        if one.model != shown:
            yield model_name(compression, one)
            shown = one.model
        mark = "* " if one is compression.student else "  "
        yield [
            f"{mark}{FORMATS[one.format]}",
            points(one.score),
            interval(one),
            signed(one.vs_teacher),
            share(one.agreement),
            megabytes(one.size_bytes),
            p50(one),
            p99(one),
        ]
        if one.refused:
            yield textwrap.fill(
                f"refused: {one.refused}", 80, initial_indent="    ! ", subsequent_indent=6 * " "
            )
