"""The report of a search as a Markdown page, and as a table for a terminal."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from pkd_core.config.search import describe_point, short_name, show_value
from pkd_core.report.cells import ABSENT, markdown_table, metric_name, points
from pkd_core.report.results import depth_name
from pkd_core.report.search_results import SearchResult, TriedPoint, TriedRound

_FINAL_HEADINGS = ("method", "chosen by", "dev", "settings")
# In a terminal: the best ones of each round.
_NUM_SHOWN = 10
_WIDTH = 80
_GAP = "  "


def search_markdown(result: SearchResult, figure: str) -> str:
    """Return the page, given the figure's file name."""
    parts = [
        f"# Search: {result.task}, {depth_name(result.num_layers)}",
        how_chosen(result),
        "## Best of each method",
        markdown_table(_FINAL_HEADINGS, _final_rows(result)),
        f"Best: **{result.winner.method}**. It is repeated by\n\n    {result.winner.command}",
        "Those of the other methods:\n\n" + _other_commands(result) if _other_commands(result) else "",
        f"![Score against each setting]({figure})",
    ]
    for one in result.rounds:
        parts += [
            f"## {_title(one)}",
            _kept(one),
            markdown_table(*_round_table(one)),
            _uncertainty(result, one),
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def search_table(result: SearchResult) -> str:
    """Return the tables of a terminal: the best points of each round, and each method's best on dev."""
    lines = _wrapped(f"{result.task}, {depth_name(result.num_layers)}. {how_chosen(result)}")
    for one in result.rounds:
        headings, rows = _round_table(one)
        lines += ["", f"{_title(one)}{f'; {_kept(one)}' if _kept(one) else ''}"]
        lines += _aligned(headings, rows[:_NUM_SHOWN])
        lines += [f"and {len(rows) - _NUM_SHOWN} more"] if len(rows) > _NUM_SHOWN else []
        lines += _wrapped(_uncertainty(result, one))
    lines += ["", f"Best of each method, on {result.num_dev} dev examples"]
    lines += _aligned(_FINAL_HEADINGS, _final_rows(result))
    return "\n".join(lines)


def how_chosen(result: SearchResult) -> str:
    """Return which examples the settings were chosen by, which ones the scores are of, and what that means."""
    metric = metric_name(result.metric)
    if result.held_out is None:
        return (
            f"Chosen on dev, as the authors did: {result.num_points} settings were compared by {metric} on the same "
            f"{result.num_dev} examples that are reported, so the best score is optimistic (search.choose_on=train "
            "chooses on part of train)."
        )
    held_out = result.held_out
    return (
        f"Chosen on part of train: {result.num_points} settings were compared by {metric} on {result.num_chosen_by} "
        f"training rows that were held out (holdout={held_out.fraction:g}, seed={held_out.seed}). Reported on dev, "
        f"whose {result.num_dev} examples no setting was chosen by: each method's best settings were trained on all of "
        "train. As in every run, the best epoch of such a training is the one with the best dev score."
    )


def score_with_spread(point: TriedPoint) -> str:
    """Return a mean, with its standard deviation over several seeds."""
    return points(point.mean) + ("" if point.std is None else f" ± {points(point.std)}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, break_on_hyphens=False)


def _title(one: TriedRound) -> str:
    return f"{one.method}: {len(one.points)} point{'s' if len(one.points) > 1 else ''}"


def _kept(one: TriedRound) -> str:
    return f"chosen before: {describe_point(one.kept)}" if one.kept else ""


def _round_table(one: TriedRound) -> tuple[list[str], list[list[str]]]:
    keys = list(one.points[0].settings)
    headings = ["", *map(short_name, keys), "score", "seeds"]
    return headings, [_row(point, keys, point is one.best) for point in one.ranked]


def _row(point: TriedPoint, keys: Sequence[str], is_best: bool) -> list[str]:
    values: list[Any] = [point.settings[key] for key in keys]
    return [
        "best" if is_best else "",
        *map(show_value, values),
        score_with_spread(point),
        str(len(point.scores)),
    ]


def _final_rows(result: SearchResult) -> list[list[str]]:
    chosen_by = {one.method: score_with_spread(one.best) for one in result.rounds}
    return [
        [
            one.method + (" (best)" if one is result.winner else ""),
            chosen_by.get(one.method, ABSENT),
            score_with_spread(one.point),
            describe_point(one.settings) or ABSENT,
        ]
        for one in result.finals
    ]


def _uncertainty(result: SearchResult, one: TriedRound) -> str:
    """Return how many points the examples cannot tell from the best, and how many were left after some seeds."""
    sentences = []
    error = result.standard_error(one.best.mean)
    if error and (number := one.num_near_best(error)):
        sentences.append(
            f"{number} of the other points {'scores' if number == 1 else 'score'} within one standard error "
            f"({points(error)}) of the best: {result.num_chosen_by} examples do not tell them apart."
        )
    if pruned := len(one.points) - len(one.complete):
        sentences.append(f"{pruned} of the points were left after their first seeds.")
    return " ".join(sentences)


def _other_commands(result: SearchResult) -> str:
    others = [one.command for one in result.finals if one.command and one is not result.winner]
    return "\n".join(f"    {command}" for command in others)


def _aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    table = [list(headings), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {_GAP.join(cells)}".rstrip()
