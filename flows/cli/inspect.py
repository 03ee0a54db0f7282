"""`pkd verify` and `pkd report`: whether what a workspace holds is intact, and what it says."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from flows.best import describe_best
from flows.cli import display
from flows.cli.listing import show_json
from flows.latest_report import latest_report
from pkd_core.errors import PkdError
from pkd_core.store.os_errors import file_errors
from pkd_core.store.scan import Verified, verify_all
from pkd_core.store.stage_store import StageStatus


def verify(workspace: Path, as_json: bool) -> bool:
    """Hash every published file, show what is damaged, and return whether nothing is.

    Raises:
        PkdError: There is no such workspace.
    """
    if not workspace.is_dir():
        raise PkdError(f"there is no folder {workspace}; give the workspace to verify.")
    start = time.monotonic()
    checked = list(verify_all(workspace))
    seconds = time.monotonic() - start
    damaged = [one for one in checked if one.inspection.status is not StageStatus.DONE]
    if as_json:
        show_json(_json(checked, damaged))
    else:
        for one in damaged:
            typer.echo(f"{one.folder}: {one.inspection.reason}")
        gigabytes = sum(one.num_bytes for one in checked) / 1e9
        typer.echo(
            f"{len(checked)} published stages, {len(damaged)} damaged; hashed {gigabytes:.2f} GB in {seconds:.1f} s "
            f"({gigabytes / max(seconds, 1e-9):.1f} GB/s)"
        )
    return not damaged


def report(workspace: Path, as_json: bool) -> None:
    """Show the workspace's latest report.

    Raises:
        PkdError: There is none, or it cannot be read.
    """
    folder = latest_report(workspace)
    if folder is None:
        raise PkdError(
            f"there is no report in {workspace.resolve()} yet; make one with `pkd run TASK` or `pkd demo`."
        )
    if as_json:
        show_json({"folder": str(folder), "report": _read_json(folder / "report.json")})
    else:
        display.show_report(folder)
        typer.echo(describe_best(workspace, folder))


def _read_json(path: Path) -> Any:
    try:
        with file_errors("read", path):
            return json.loads(path.read_bytes())
    except ValueError as error:
        raise PkdError(f"{path} is damaged: run again, and it is written anew.") from error


def _json(checked: Sequence[Verified], damaged: Sequence[Verified]) -> dict[str, Any]:
    return {
        "num_stages": len(checked),
        "num_bytes": sum(one.num_bytes for one in checked),
        "damaged": [{"folder": one.folder.as_posix(), "reason": one.inspection.reason} for one in damaged],
    }
