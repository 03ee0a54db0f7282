"""`pkd clean`: lists what no run refers to any more, and deletes it on request."""

from pathlib import Path

import typer

from flows.cli import display
from flows.cli.quantities import size
from flows.latest_report import latest_report
from pkd_core.errors import PkdError
from pkd_core.store.cleanup import Garbage, find_garbage, remove
from pkd_core.store.run_records import RunRecord, read_run_records


def clean(workspace: Path, last: int | None, delete: bool) -> None:
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
    display.show_garbage(found, len(kept), len(records))
    if delete:
        # Records first: a run that is repeated meanwhile writes its own again.
        for record in records:
            if record not in kept:
                record.path.unlink(missing_ok=True)
        _delete(workspace, found)
    elif found:
        typer.echo("nothing is deleted yet: repeat with --yes to delete these")


def _folders(workspace: Path, records: list[RunRecord]) -> set[str]:
    folders = {folder for record in records for folder in record.folders}
    report = latest_report(workspace)
    return folders | ({report.relative_to(workspace).as_posix()} if report else set())


def _delete(workspace: Path, found: list[Garbage]) -> None:
    deleted = [garbage for garbage in found if remove(workspace, garbage)]
    for garbage in found:
        if garbage not in deleted:
            typer.echo(f"{garbage.folder}: kept, because a process has started to write it")
    typer.echo(f"deleted {len(deleted)} folders, {size(sum(one.num_bytes for one in deleted))}")
