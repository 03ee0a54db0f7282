"""`pkd compare`: two models on the same examples, who is right where, and where they disagree."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from flows.cli.listing import show_json, show_text
from flows.latest_report import latest_report
from pkd_core.pipeline.comparison import Answer, Comparison, Disagreement, compare, find_disagreements
from pkd_core.pipeline.evaluated import Evaluated, evaluation_of, find_evaluation, read_evaluation
from pkd_core.pipeline.task_data import bring_data
from pkd_core.pipeline.trained import ReportedModel, reported_models
from pkd_core.report.cells import metric_name, points
from pkd_core.report.differences import ComparedPair, sentence
from pkd_core.report.results import COUNTED_METRICS

_REGISTERED = "models:/"


@dataclass(frozen=True)
class CompareRequest:
    """What to compare, and what is shown.

    Attributes:
        first: A name from the report, a folder, the beginning of an address, or an address in MLflow.
        second: Another.
        task: What stands before names without a task; None if they have it.
        split: The labelled split; None for the one that selected the best epoch.
        num_disagreements: How many examples with different answers are shown.
        as_json: Show JSON alone.
        workspace: Folder that holds data_raw and artifacts.
    """

    first: str
    second: str
    task: str | None
    split: str | None
    num_disagreements: int
    as_json: bool
    workspace: Path


def compare_models(request: CompareRequest) -> None:
    """Compare two models and show the result.

    Raises:
        PkdError: There is no such model, it is damaged, or the two answered different examples.
    """
    report = latest_report(request.workspace)
    reported = reported_models(request.workspace, report) if report else ()
    first, second = (
        read_evaluation(_find(request, name, reported), request.split)
        for name in (request.first, request.second)
    )
    comparison = compare(first, second)
    disagreements: list[Disagreement] = []
    if request.num_disagreements:
        bring_data(request.workspace, [first.result.task])
        disagreements = find_disagreements(first, second, request.workspace / "data_raw")
    shown = disagreements[: request.num_disagreements]
    if request.as_json:
        show_json(_json(first, second, comparison, shown))
        return
    _show(first, second, comparison)
    if request.num_disagreements:
        typer.echo(f"\n{len(shown)} of {len(disagreements)} examples with different answers:")
        for one in shown:
            _show_disagreement(one)


def _find(request: CompareRequest, name: str, reported: Sequence[ReportedModel]) -> Path:
    if name.startswith(_REGISTERED):
        from tasks.registered_stage import find_registered

        return evaluation_of(find_registered(request.workspace, name))
    if request.task is not None and "/" not in name:
        name = f"{request.task}/{name}"
    return find_evaluation(request.workspace, name, reported)


def _show(first: Evaluated, second: Evaluated, comparison: Comparison) -> None:
    num_examples = len(first.answers.labels_R)
    typer.echo(f"{first.result.task}: {metric_name(first.metric)} on {num_examples} {first.split} examples")
    for letter, one in (("A", first), ("B", second)):
        typer.echo(f"{letter}  {points(one.score)}  {one.key}  ({one.folder})")
    typer.echo()
    show_text(sentence(_pair(first, comparison)))
    if comparison.agreement is not None:
        counts = comparison.agreement
        show_text(
            f"both right {counts.both_right}, only A {counts.only_first}, only B {counts.only_second}, both wrong "
            f"{counts.both_wrong}; McNemar's exact p {_p_value(counts.p_value)}"
        )
    show_text("The interval is over examples, not over seeds: a report of several seeds compares methods.")


def _p_value(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.4f}"


def _pair(first: Evaluated, comparison: Comparison) -> ComparedPair:
    num_examples = len(first.answers.labels_R) if first.metric in COUNTED_METRICS else None
    return ComparedPair(
        first.result.task,
        first.result.num_layers,
        num_examples,
        num_seeds=1,
        result=comparison.difference,
        split=first.split,
    )


def _show_disagreement(one: Disagreement) -> None:
    show_text(f"example {one.example_id}: {one.label}; A: {_worded(one.first)}; B: {_worded(one.second)}")
    for text in one.texts:
        show_text(text, "    ")


def _worded(answer: Answer) -> str:
    return answer.text if answer.probability is None else f"{answer.text} ({answer.probability:.2f})"


def _json(
    first: Evaluated, second: Evaluated, comparison: Comparison, disagreements: Sequence[Disagreement]
) -> dict[str, Any]:
    agreement, difference = comparison.agreement, comparison.difference
    return {
        "task": first.result.task,
        "selection": first.result.selection,
        "split": first.split,
        "num_examples": len(first.answers.labels_R),
        "models": [
            {"name": one.key, "folder": str(one.folder), "score": one.score} for one in (first, second)
        ],
        "difference": difference.difference,
        "interval": [difference.low, difference.high],
        "bootstrap_p": difference.p_value,
        "counts": None if agreement is None else asdict(agreement),
        "mcnemar_p": None if agreement is None else agreement.p_value,
        "disagreements": [asdict(one) for one in disagreements],
    }
