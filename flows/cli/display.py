"""What the command line shows."""

import shlex
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from flows.cli.listing import show_rows, show_text, wrapped
from flows.cli.quantities import age, size
from flows.workspace import as_typed
from pkd_core.config.presets import ListedPreset
from pkd_core.errors import StoreError
from pkd_core.store.garbage import Garbage
from pkd_core.store.os_errors import file_errors

if TYPE_CHECKING:
    from pkd_core.pipeline.plan import Plan  # imports torch, which takes seconds


def counts(plan: "Plan") -> str:
    """Return how many stages are done and how many are not."""
    numbers = Counter(one.status.value for one in plan.stages)
    parts = ", ".join(f"{number} {status}" for status, number in sorted(numbers.items()))
    return f"{len(plan.stages)} stages: {parts}"


def show_report(folder: Path) -> None:
    """Show the report's table, which methods can be told apart, and where its files are.

    Raises:
        StoreError: If the table cannot be read.
    """
    path = folder / "report.txt"
    with file_errors("read", path):
        typer.echo("\n" + path.read_text(encoding="utf-8", errors="replace"))
    _show_verdicts(folder)
    typer.echo(f"report: {folder / 'report.html'} (and report.md, report.json, report.png)")


def _show_verdicts(folder: Path) -> None:
    """Show which methods of several seeds can be told apart, if that can be read: the table is shown all the same."""
    from pkd_core.report.differences import place, sentence
    from pkd_core.report.summary import read_pairs

    try:
        pairs = [pair for pair in read_pairs(folder) if pair.num_seeds > 1]
    except StoreError:
        return
    for where, of_place in groupby(pairs, place):
        typer.echo(f"{where}, differences with 95 % intervals:")
        for pair in of_place:
            typer.echo(wrapped(sentence(pair), "  ", hanging="  "))
        typer.echo()


def show_presets(presets: Iterable[ListedPreset]) -> None:
    """Show each published setting with the row that it comes from."""
    headings = ("task", "method", "layers", "lr", "T", "alpha", "beta", "normalize", "row")
    rows = []
    for listed in presets:
        values = listed.preset.settings
        section = "teacher" if listed.method == "teacher" else "student"
        keys = ("distill.temperature", "distill.alpha", "distill.beta", "distill.normalize")
        depths = f"{listed.num_layers}" + ("" if section == "teacher" else f" <- {listed.num_teacher_layers}")
        if listed.num_base_layers != listed.num_teacher_layers:
            depths = f"{listed.num_layers} of {listed.num_base_layers} <- {listed.num_teacher_layers}"
        cells = [values[f"{section}.learning_rate"], *(values.get(key, "") for key in keys)]
        rows.append([listed.task, listed.method, depths, *map(str, cells), listed.preset.source])
    show_rows(headings, rows, num_names=3)


def show_garbage(found: Sequence[Garbage], num_kept: int, num_runs: int) -> None:
    """Show what no run refers to: why, how large, and how old."""
    rows = [
        [one.folder.as_posix(), one.kind.value, size(one.num_bytes), age(time.time() - one.modified)]
        for one in found
    ]
    if rows:
        show_rows(("folder", "why", "size", "age"), rows, num_names=1, right=("size", "age"))
    show_text(
        f"{len(found)} folders, {size(sum(one.num_bytes for one in found))}, to which no run refers "
        f"(kept: {num_kept} of {num_runs} recorded runs)"
    )


def after_demo(workspace: Path) -> str:
    """Return where to look after the demo, in lines that a shell takes as they are."""
    option = f"--workspace {shlex.quote(as_typed(workspace))}"
    commands = {
        f"pkd verify {option}": "hash every published file",
        f"pkd demo {option}": "again: nothing is computed",
        f"pkd up {option}": "MLflow's and Prefect's pages",
        "pkd fetch RTE": "GLUE's RTE, over the network; then: pkd run RTE",
    }
    longest = max(map(len, commands))
    return "\n".join(["", "Next:", *(f"    {line:{longest}}  # {what}" for line, what in commands.items())])
