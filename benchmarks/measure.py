"""Measuring: two things by turns in one run, so that a busy machine slows both, and the median of their ratios."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: What is compared with what.
        values: The ratio of each turn.
        target: What the ratio should reach, such as ">= 15" or "<= 1.03"; empty for a plain figure.
        detail: The times that the ratio is of.
    """

    name: str
    values: tuple[float, ...]
    target: str = ""
    detail: str = ""

    @property
    def median(self) -> float:
        """The middle one of the turns."""
        return statistics.median(self.values)

    @property
    def reaches(self) -> bool | None:
        """Whether the median reaches the target; None without a target."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        return self.median >= float(bound) if sign == ">=" else self.median <= float(bound)


def compare(
    name: str,
    target: str,
    over: Callable[[], float],
    under: Callable[[], float],
    turns: int,
    unit: str = "ms",
) -> Row:
    """Measure two things by turns, after a turn that warms up, and return the ratio of the first over the second.

    Args:
        name: What is compared.
        target: What the ratio should reach.
        over: Returns seconds; the numerator.
        under: Returns seconds; the denominator.
        turns: How many ratios.
        unit: "ms" or "s", of the detail.
    """
    times = [(over(), under()) for _ in range(turns + 1)][1:]
    factor = 1000.0 if unit == "ms" else 1.0
    first, second = (statistics.median(column) * factor for column in zip(*times, strict=True))
    return Row(name, tuple(a / b for a, b in times), target, f"{first:.1f} {unit} / {second:.1f} {unit}")


def show(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| measured | median | spread | target | reached | times |", "|---|---|---|---|---|---|"]
    marks = {True: "yes", False: "NO", None: ""}
    for row in rows:
        spread = f"{min(row.values):.3g} to {max(row.values):.3g}" if len(row.values) > 1 else ""
        lines.append(
            f"| {row.name} | {row.median:.3g} | {spread} | {row.target} | {marks[row.reaches]} | {row.detail} |"
        )
    return "\n".join(lines)
