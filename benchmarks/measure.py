"""Measures two things alternately in one run, so that a busy machine slows both, and takes the median ratio."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: What is measured.
        values: The ratio, or plain figure, of each turn.
        target: The bound for the median, such as ">= 15" or "<= 1.03"; "" if there is none.
        detail: The times behind the ratio.
    """

    name: str
    values: tuple[float, ...]
    target: str = ""
    detail: str = ""

    @property
    def median(self) -> float:
        """The median of the turns."""
        return statistics.median(self.values)

    @property
    def reaches_target(self) -> bool | None:
        """Whether the median reaches the target; None without a target."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        return self.median >= float(bound) if sign == ">=" else self.median <= float(bound)


def compare(
    name: str,
    target: str,
    numerator: Callable[[], float],
    denominator: Callable[[], float],
    turns: int,
    unit: str = "ms",
) -> Row:
    """Measure two things alternately, after one warm-up turn, and return their ratios.

    Args:
        name: What is measured.
        target: The bound for the median ratio, or "".
        numerator: Returns seconds.
        denominator: Returns seconds.
        turns: Number of ratios.
        unit: Unit of the times in the detail, "ms" or "s".
    """
    times = [(numerator(), denominator()) for _ in range(turns + 1)][1:]
    factor = 1000.0 if unit == "ms" else 1.0
    first, second = (statistics.median(column) * factor for column in zip(*times, strict=True))
    return Row(name, tuple(a / b for a, b in times), target, f"{first:.1f} {unit} / {second:.1f} {unit}")


def markdown_table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| measured | median | spread | target | reached | times |", "|---|---|---|---|---|---|"]
    marks = {True: "yes", False: "NO", None: ""}
    for row in rows:
        spread = f"{min(row.values):.3g} to {max(row.values):.3g}" if len(row.values) > 1 else ""
        lines.append(
            f"| {row.name} | {row.median:.3g} | {spread} | {row.target} | {marks[row.reaches_target]} | {row.detail} |"
        )
    return "\n".join(lines)
