"""Writes the report of a search: a Markdown page, the same as JSON, a table for terminals, and a figure."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pkd_core.report.search_figure import save_search_figure
from pkd_core.report.search_results import FinalScore, SearchResult, TriedPoint, TriedRound
from pkd_core.report.search_text import how_chosen, search_markdown, search_table

_FORMAT_VERSION = 1


def write_search_report(folder: Path, result: SearchResult) -> None:
    """Write `search.md`, `search.json`, `search.txt` and `search.png`; the same result gives the same bytes.

    Args:
        folder: An existing folder.
        result: The search.
    """
    text = json.dumps(search_json(result), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "search.json").write_text(text + "\n", encoding="utf-8")
    (folder / "search.md").write_text(search_markdown(result, "search.png"), encoding="utf-8")
    (folder / "search.txt").write_text(search_table(result) + "\n", encoding="utf-8")
    save_search_figure(result, folder / "search.png")


def search_json(result: SearchResult) -> dict[str, Any]:
    """Return the search as JSON values."""
    return {
        "format_version": _FORMAT_VERSION,
        "task": result.task,
        "num_layers": result.num_layers,
        "metric": result.metric,
        "chosen_on": "dev" if result.held_out is None else "train",
        "held_out": asdict(result.held_out) if result.held_out else None,
        "num_chosen_by": result.num_chosen_by,
        "num_dev": result.num_dev,
        "sampler": result.sampler,
        "how_chosen": how_chosen(result),
        "rounds": [_round(one) for one in result.rounds],
        "best_of_each_method": [_final(one) for one in result.finals],
        "best": _final(result.winner),
    }


def _round(one: TriedRound) -> dict[str, Any]:
    return {
        "method": one.method,
        "kept": dict(one.kept),
        "best": _point(one.best),
        "points": [_point(point) for point in one.ranked],
    }


def _point(point: TriedPoint) -> dict[str, Any]:
    scores = {str(seed): score for seed, score in point.scores.items()}
    return {"settings": dict(point.settings), "mean": point.mean, "std": point.std, "scores": scores}


def _final(final: FinalScore) -> dict[str, Any]:
    return {"method": final.method, **_point(final.point), "command": final.command}
