"""The text of single numbers in a report, and the Markdown table around them."""

from collections.abc import Iterable, Sequence
from typing import Any

from pkd_core.report.results import Group

ABSENT = "–"
INTERVAL_HEADING = "95 % interval"
COMPARISON_HEADINGS = ("vs teacher", "gap closed", "parameters", "MB", "times smaller", "times faster")
_METRIC_NAMES = {
    "f1": "F1",
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "subset_accuracy": "all labels right",
    "matthews": "Matthews",
    "pearson": "Pearson",
    "spearman": "Spearman",
}


def metric_name(key: str, beside: str = "dev") -> str:
    """Return a score key for readers: "dev/f1" as "F1", "dev-mismatched/accuracy" as "accuracy (dev-mismatched)".

    Args:
        key: The key.
        beside: The split that needs no name, as all scores beside it are of it unless they say otherwise.
    """
    split, _, metric = key.rpartition("/")
    name = _METRIC_NAMES.get(metric, metric)
    return name if split in ("", beside) else f"{name} ({split})"


def epoch(number: int | None) -> str:
    """Return the number of an epoch; a dash for a model that was not trained here."""
    return ABSENT if number is None else str(number)


def points(fraction: float | None) -> str:
    """Return a fraction × 100 with one decimal."""
    return ABSENT if fraction is None else f"{100 * fraction:.1f}"


def signed_points(fraction: float | None) -> str:
    """Return a difference × 100 with its sign and one decimal."""
    return _rounded(fraction, 1, "+.1f")


def score(group: Group, key: str) -> str:
    """Return the mean of a score; over several seeds, also its standard deviation and the number of seeds."""
    number = f" ({len(group.rows)})" if len(group.rows) > 1 else ""
    return score_and_deviation(group, key) + number


def score_and_deviation(group: Group, key: str | None = None) -> str:
    """Return the mean of a score, by default the final one, and over several seeds its standard deviation."""
    key = key or group.final
    std = group.std[key]
    return points(group.mean[key]) + ("" if std is None else f" ± {points(std)}")


def interval(group: Group) -> str:
    """Return the ends of the final score's 95 % interval, if it has one."""
    return ABSENT if group.interval is None else "–".join(map(points, group.interval))


def comparison(group: Group) -> list[str]:
    """Return one cell for each of `COMPARISON_HEADINGS`."""
    row = group.rows[0]
    return [
        signed_points(group.gap_to_teacher),
        _rounded(group.gap_closed, 0, ".0f", " %"),
        f"{row.parameters / 1e6:.1f}M" if row.parameters >= 1e6 else f"{row.parameters / 1e3:.1f}k",
        f"{row.size_bytes / 1e6:.1f}",
        ABSENT if group.times_smaller is None else f"{group.times_smaller:.2f}",
        ABSENT if group.speed is None else f"{group.speed.ratio:.2f} ± {group.speed.spread:.2f}",
    ]


def _rounded(fraction: float | None, digits: int, form: str, unit: str = "") -> str:
    # Adding 0 turns -0.0 into 0.0.
    return ABSENT if fraction is None else f"{round(100 * fraction, digits) + 0:{form}}{unit}"


def remark(group: Group) -> str:
    """Return what a reader must know of a model that has learnt nothing; empty for others."""
    parts = ["no better than the most frequent answer"] if group.is_useless else []
    if group.collapsed:
        parts.append(f"{_which(group)} one class only")
    return "; ".join(parts)


def _which(group: Group) -> str:
    if len(group.collapsed) == len(group.rows):
        return "predicts"
    seeds = ", ".join(str(row.seed) for row in group.collapsed)
    return f"seed {seeds} predicts" if len(group.collapsed) == 1 else f"seeds {seeds} predict"


def joined(values: Iterable[Any]) -> str:
    """Return the distinct values as text, such as "1e-05 / 2e-05"."""
    return " / ".join(
        dict.fromkeys(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    )


def flat(text: str) -> str:
    """Return a text with every run of white space replaced by one space."""
    return " ".join(text.split())


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; cells may hold any text."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(
        "| " + " | ".join(flat(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
