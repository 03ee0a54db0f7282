"""The private folder that a stage works in before it publishes."""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def prepare_work(work: Path, inputs: Mapping[str, str]) -> None:
    """Make the folder, or keep it as an interrupted writer left it if that one had the same inputs.

    A note beside the folder, `<work>.inputs`, says what its contents were begun from.

    Raises:
        OSError: If the disk refuses.
    """
    note = _note(work)
    begun_from = json.dumps(dict(inputs), sort_keys=True)
    if note.is_file() and note.read_text(encoding="utf-8") == begun_from:
        work.mkdir(exist_ok=True)
        return
    # The note goes first and comes last: whatever is interrupted here, it never vouches for what is not so.
    note.unlink(missing_ok=True)
    if work.is_dir():
        shutil.rmtree(work)
    work.mkdir(exist_ok=True)
    note.write_text(begun_from, encoding="utf-8")


def leave_work(work: Path) -> None:
    """Remove the folder if it is empty, for there is nothing to resume in it, and the note of a folder that is gone."""
    with suppress(OSError):
        work.rmdir()
    if not work.exists():
        with suppress(OSError):
            _note(work).unlink()


def _note(work: Path) -> Path:
    return work.with_name(f"{work.name}.inputs")
