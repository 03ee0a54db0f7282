"""`pkd clean`: lists what no run refers to any more, and deletes it on request."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from flows.cli import display
from flows.cli.listing import show_json
from flows.cli.quantities import size
from flows.latest_report import latest_report
from pkd_core.errors import PkdError
from pkd_core.store.cleanup import find_garbage, remove
from pkd_core.store.garbage import Garbage
from pkd_core.store.run_records import RunRecord, read_run_records, remove_record


def clean(workspace: Path, last: int | None, delete: bool, as_json: bool) -> None:
    """Show what no run refers to, and delete it on request.

    Kept is what active runs, the latest report, and the newest `last` different runs refer to (all runs if None).

    Raises:
        PkdError: There is no such workspace, it has no record of a run, or the disk cannot be written.
    """
    if not workspace.is_dir():
        raise PkdError(f"there is no folder {workspace}; give the workspace to clean.")
    records = read_run_records(workspace)
    if not records:
        raise PkdError(
            f"{workspace.resolve()} has no record of any run, so everything would be deleted; "
            "repeat the `pkd run` that you want to keep (nothing is computed again), then clean."
        )
    kept = [record for rank, record in enumerate(records) if record.is_running or last is None or rank < last]
    found = list(find_garbage(workspace, _folders(workspace, kept)))
    if not as_json:
        display.show_garbage(found, len(kept), len(records))
    deleted = (
        _delete(workspace, [record for record in records if record not in kept], found) if delete else []
    )
    if as_json:
        show_json(
            {
                "num_runs": len(records),
                "num_kept_runs": len(kept),
                "folders": [_json(one, one in deleted) for one in found],
            }
        )
    elif delete:
        for garbage in found:
            if garbage not in deleted:
                typer.echo(f"{garbage.folder}: kept, because a process has started to write it")
        typer.echo(f"deleted {len(deleted)} folders, {size(sum(one.num_bytes for one in deleted))}")
    elif found:
        typer.echo("nothing is deleted yet: repeat with --yes to delete these")


def _folders(workspace: Path, records: list[RunRecord]) -> set[str]:
    folders = {folder for record in records for folder in record.folders}
    report = latest_report(workspace)
    return folders | ({report.relative_to(workspace).as_posix()} if report else set())


def _delete(workspace: Path, records: list[RunRecord], found: list[Garbage]) -> list[Garbage]:
    """Delete run records, and then the garbage that no process has started to write; return the latter."""
    # Records first: a run that is repeated meanwhile writes its own again.
    for record in records:
        remove_record(record.path)
    return [garbage for garbage in found if remove(workspace, garbage)]


def _json(garbage: Garbage, deleted: bool) -> dict[str, Any]:
    return {
        "folder": garbage.folder.as_posix(),
        "why": garbage.kind.value,
        "num_bytes": garbage.num_bytes,
        "modified": datetime.fromtimestamp(garbage.modified, UTC).isoformat(timespec="seconds"),
        "deleted": deleted,
    }
