"""The report as a table for a terminal."""

from collections.abc import Mapping, Sequence
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table

from pkd_core.report.cells import COMPARISON_HEADINGS, comparison, flat, metric_name, score
from pkd_core.report.results import Group, by_task

# Wide enough that rich never shortens a cell: the terminal wraps a long line instead.
_WIDTH = 400


def text_table(groups: Sequence[Group], failures: Mapping[str, str]) -> str:
    """Return a line for each group and each failure, without colours."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("task", "model"):
        table.add_column(heading, no_wrap=True)
    for heading in ("score", *COMPARISON_HEADINGS):
        table.add_column(heading.removeprefix("times "), justify="right", no_wrap=True)
    for task, of_task in by_task(groups).items():
        title = f"{task} ({metric_name(of_task[0].selection)})"
        for group in of_task:
            cells = [group.name, score(group, group.selection), *comparison(group)]
            table.add_row(title, *cells, end_section=group is of_task[-1])
            title = ""
    text = StringIO()
    if groups:
        Console(file=text, width=_WIDTH, color_system=None, markup=False, emoji=False).print(table)
    for name, reason in failures.items():
        text.write(f"FAILED {name}: {flat(reason)}\n")
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n")
