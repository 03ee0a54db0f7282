"""What the command line shows."""

import shlex
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pkd_core.config.presets import ListedPreset
from pkd_core.store.cleanup import Garbage
from pkd_core.store.os_errors import file_errors
from pkd_core.store.scan import Verified
from pkd_core.store.stage_store import StageStatus

if TYPE_CHECKING:
    from pkd_core.pipeline.plan import Plan  # imports torch, which takes seconds

_STYLES = {
    StageStatus.DONE: "green",
    StageStatus.MISSING: "yellow",
    StageStatus.DAMAGED: "red",
    StageStatus.STALE: "magenta",
}


def _console(width: int | None = None) -> Console:
    """Return a console that prints names of files as they are: rich would take `[red]` in them for its own markup."""
    return Console(width=width, markup=False, emoji=False, highlight=False)


def show_plan(plan: "Plan") -> None:
    """Show each stage's status and why."""
    table = Table("stage", "status", "why", "fingerprint", box=None, pad_edge=False)
    for one in plan.stages:
        status = Text(one.status.value, _STYLES[one.status])
        table.add_row(one.stage.key, status, one.reason, one.stage.fingerprint)
    _console().print(table)
    typer.echo(counts(plan))


def counts(plan: "Plan") -> str:
    """Return how many stages are done and how many are not."""
    numbers = Counter(one.status.value for one in plan.stages)
    parts = ", ".join(f"{number} {status}" for status, number in sorted(numbers.items()))
    return f"{len(plan.stages)} stages: {parts}"


def show_report(folder: Path) -> None:
    """Show the report's table and where its files are.

    Raises:
        StoreError: If the table cannot be read.
    """
    path = folder / "report.txt"
    with file_errors("read", path):
        typer.echo("\n" + path.read_text(encoding="utf-8", errors="replace"))
    typer.echo(f"report: {folder / 'report.md'} (and report.json, report.png)")


def show_presets(presets: Iterable[ListedPreset]) -> None:
    """Show each published setting with the row that it comes from."""
    table = Table(
        "task", "method", "layers", "lr", "T", "alpha", "beta", "normalize", "row", box=None, pad_edge=False
    )
    for listed in presets:
        values = listed.preset.settings
        section = "teacher" if listed.method == "teacher" else "student"
        keys = ("distill.temperature", "distill.alpha", "distill.beta", "distill.normalize")
        depths = f"{listed.num_layers}" + ("" if section == "teacher" else f" <- {listed.num_teacher_layers}")
        cells = [values[f"{section}.learning_rate"], *(values.get(key, "") for key in keys)]
        table.add_row(listed.task, listed.method, depths, *map(str, cells), listed.preset.source)
    _console(width=max(Console().width, 150)).print(table)


def show_verified(checked: Sequence[Verified], seconds: float) -> bool:
    """Show the result of checking all published stages, and return whether all are intact."""
    damaged = [one for one in checked if one.inspection.status is not StageStatus.DONE]
    for one in damaged:
        typer.echo(f"{one.folder}: {one.inspection.reason}")
    gigabytes = sum(one.num_bytes for one in checked) / 1e9
    typer.echo(
        f"{len(checked)} published stages, {len(damaged)} damaged; hashed {gigabytes:.2f} GB in {seconds:.1f} s "
        f"({gigabytes / max(seconds, 1e-9):.1f} GB/s)"
    )
    return not damaged


def show_garbage(found: Sequence[Garbage], num_kept: int, num_runs: int) -> None:
    """Show what no run refers to: why, how large, and how old."""
    table = Table("folder", "why", box=None, pad_edge=False)
    table.add_column("size", justify="right")
    table.add_column("age", justify="right")
    for one in found:
        days = (time.time() - one.modified) / 86_400
        age = f"{days:.0f} days" if days >= 2 else f"{24 * days:.0f} hours"
        table.add_row(one.folder.as_posix(), one.kind.value, size(one.num_bytes), age)
    if found:
        _console().print(table)
    typer.echo(
        f"{len(found)} folders, {size(sum(one.num_bytes for one in found))}, to which no run refers "
        f"(kept: {num_kept} of {num_runs} recorded runs)"
    )


def size(num_bytes: int) -> str:
    """Return a size for people."""
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def after_demo(workspace: Path) -> str:
    """Return where to look after the demo, in lines that a shell takes as they are."""
    commands = {
        f"pkd verify --workspace {shlex.quote(str(workspace))}": "hash every published file",
        f"pkd demo --workspace {shlex.quote(str(workspace))}": "again: nothing is computed",
        f"pkd up --workspace {shlex.quote(str(workspace))}": "MLflow's and Prefect's pages",
        "pkd fetch RTE": "GLUE's RTE, over the network; then: pkd run RTE",
    }
    longest = max(map(len, commands))
    return "\n".join(["", "Next:", *(f"    {line:{longest}}  # {what}" for line, what in commands.items())])
