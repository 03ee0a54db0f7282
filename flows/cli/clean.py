"""`pkd clean`: finds what no run refers to any more, and deletes it when told to."""

from pathlib import Path

import typer

from flows.cli import display
from flows.latest_report import latest_report
from pkd_core.errors import PkdError
from pkd_core.store.cleanup import Garbage, find_garbage, remove
from pkd_core.store.run_records import RunRecord, read_run_records


def clean(workspace: Path, last: int | None, delete: bool) -> None:
    """Show what is left over, and delete it if asked to.

    Spared is what runs under way, the latest report, and the newest `last` different runs refer to (all runs if None).

    Raises:
        PkdError: There is no such workspace, no run is known in it, or the disk refuses.
    """
    if not workspace.is_dir():
        raise PkdError(f"there is no folder {workspace}; give the workspace that is to be cleaned.")
    notes = read_run_records(workspace)
    if not notes:
        raise PkdError(
            f"no run is known in {workspace.resolve()} yet, so everything would go; "
            "give `pkd run` once more what you want to keep (nothing is computed again), then clean."
        )
    spared = [note for place, note in enumerate(notes) if note.is_running or last is None or place < last]
    found = list(find_garbage(workspace, _folders(workspace, spared)))
    display.show_garbage(found, len(spared), len(notes))
    if delete:
        # Notes first: a run that is asked for again writes its own anew.
        for note in notes:
            if note not in spared:
                note.path.unlink(missing_ok=True)
        _delete(workspace, found)
    elif found:
        typer.echo("nothing is deleted yet: the same with --yes deletes these")


def _folders(workspace: Path, notes: list[RunRecord]) -> set[str]:
    folders = {folder for note in notes for folder in note.folders}
    report = latest_report(workspace)
    return folders | ({report.relative_to(workspace).as_posix()} if report else set())


def _delete(workspace: Path, found: list[Garbage]) -> None:
    gone = [garbage for garbage in found if remove(workspace, garbage)]
    for garbage in found:
        if garbage not in gone:
            typer.echo(f"{garbage.folder}: kept, for a process has begun to write it")
    typer.echo(f"deleted {len(gone)} folders, {display.size(sum(one.num_bytes for one in gone))}")
