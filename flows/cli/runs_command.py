"""`pkd runs`: the runs that a workspace has recorded, and how much of each is done."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.cli.listing import show_json, show_rows
from flows.run_file import run_file
from pkd_core.errors import PkdError
from pkd_core.store.catalog import Catalog
from pkd_core.store.run_records import RunRecord, read_run_records

_HEADINGS = (
    "started",
    "tasks",
    "methods",
    "layers",
    "seeds",
    "model",
    "done",
    "running",
    "repeat with --config",
)


def show_runs(workspace: Path, as_json: bool) -> None:
    """Show the workspace's recorded runs, the newest first.

    Raises:
        PkdError: There is no such workspace, it has no record of a run, or one cannot be read.
    """
    if not workspace.is_dir():
        raise PkdError(f"there is no folder {workspace}; give the workspace whose runs you want to see.")
    records = read_run_records(workspace)
    published = (
        {address.folder.as_posix() for address in Catalog(workspace).addresses()} if records else set()
    )
    if as_json:
        show_json([_json(record, published) for record in records])
    elif records:
        show_rows(_HEADINGS, [_row(record, published) for record in records], num_names=2)
    else:
        raise PkdError(f"{workspace.resolve()} has no record of any run yet; start one with `pkd run TASK`.")


def _row(record: RunRecord, published: Set[str]) -> list[str]:
    request = record.request
    return [
        datetime.fromisoformat(record.started).astimezone().strftime("%Y-%m-%d %H:%M"),
        _joined(request.get("tasks")) + _kind(request),
        _joined(request.get("methods")),
        _joined(request.get("student_layers")) or _depth(request),
        _joined(request.get("seeds")),
        _models(request),
        f"{len(record.folders & published)} of {len(record.folders)}",
        "yes" if record.is_running else "",
        str(run_file(record.path)) if run_file(record.path).is_file() else "",
    ]


def _json(record: RunRecord, published: Set[str]) -> dict[str, Any]:
    return {
        "started": record.started,
        "request": dict(record.request),
        "num_stages": len(record.folders),
        "num_done": len(record.folders & published),
        "running": record.is_running,
        "config": str(run_file(record.path)) if run_file(record.path).is_file() else None,
    }


def _kind(request: Mapping[str, Any]) -> str:
    """Return what a run was, unless it was one of `pkd run`; its file is for the same command."""
    return next((f" ({command})" for command in ("search", "compress") if command in request), "")


def _joined(values: Sequence[object] | None) -> str:
    return ",".join(map(str, values or ()))


def _depth(request: Mapping[str, Any]) -> str:
    """Return how a run without a number of layers finds one."""
    latency = request.get("compress", {}).get("latency_ms")
    return "half" if latency is None else f"within {latency:g} ms"


def _models(request: Mapping[str, Any]) -> str:
    teacher, student = str(request.get("model", "")), request.get("student_model")
    if teachers := request.get("teachers"):
        own = " + ".join(_model(str(name)) for name in teachers)
        return f"teacher {own}, students {_model(str(student))}" if student else f"teacher {own}"
    return f"{_model(teacher)}, students {_model(str(student))}" if student else _model(teacher)


def _model(name: str) -> str:
    """Return a hub's name as it is, and a folder's name without its path."""
    return Path(name).name if Path(name).is_absolute() else name
