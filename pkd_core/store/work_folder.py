"""The private folder that a stage works in before it publishes, and the files beside it."""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pkd_core.store.atomic import atomic_write_text


def lock_file(work: Path) -> Path:
    """Return the lock file of a stage; its writer holds it."""
    return work.with_name(f"{work.name}.lock")


def prepare_work(work: Path, inputs: Mapping[str, str]) -> None:
    """Create the folder, or keep what an interrupted writer left in it if that one had the same inputs.

    Args:
        work: The work folder. The file `<work>.inputs` beside it records the inputs of what it holds.
        inputs: Digest of each input by its name.

    Raises:
        OSError: If the disk refuses.
    """
    inputs_file = _inputs_file(work)
    text = json.dumps(dict(inputs), sort_keys=True)
    if inputs_file.is_file() and inputs_file.read_bytes() == text.encode("utf-8"):
        work.mkdir(exist_ok=True)
        return
    # Removed first and written last, so that an interruption never leaves inputs that the contents do not have.
    inputs_file.unlink(missing_ok=True)
    if work.is_dir():
        shutil.rmtree(work)
    work.mkdir(exist_ok=True)
    atomic_write_text(inputs_file, text)


def tidy_work(work: Path) -> None:
    """Remove the folder if it is empty, and the record of its inputs if the folder is gone."""
    with suppress(OSError):
        work.rmdir()
    if not work.exists():
        with suppress(OSError):
            _inputs_file(work).unlink()


def _inputs_file(work: Path) -> Path:
    return work.with_name(f"{work.name}.inputs")
