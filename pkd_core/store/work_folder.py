"""The private folders that a stage works in before it publishes.

The work folder holds what will be published. The resume folder beside it holds what only an interrupted stage needs in
order to continue: the inputs that it read, its checkpoint.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pkd_core.store.atomic import atomic_write_text

RESUME_SUFFIX = ".resume"
INPUTS = "inputs.json"


def lock_file(work: Path) -> Path:
    """Return the lock file of a stage; its writer holds it."""
    return work.with_name(f"{work.name}.lock")


def resume_folder(work: Path) -> Path:
    """Return the folder of what an interrupted stage needs to continue; publishing removes it."""
    return work.with_name(f"{work.name}{RESUME_SUFFIX}")


def can_resume(work: Path, inputs: Mapping[str, str]) -> bool:
    """Return whether an interrupted writer with the same inputs has left something to continue from.

    Args:
        work: The work folder.
        inputs: Digest of each input by its name.
    """
    inputs_file = resume_folder(work) / INPUTS
    return inputs_file.is_file() and inputs_file.read_bytes() == _inputs_text(inputs).encode("utf-8")


def read_inputs(work: Path) -> dict[str, str]:
    """Return the inputs that the contents of both folders have been made from: digest by name."""
    inputs: dict[str, str] = json.loads((resume_folder(work) / INPUTS).read_text(encoding="utf-8"))
    return inputs


def write_inputs(resume: Path, inputs: Mapping[str, str]) -> None:
    """Record what the contents of both folders are made from; nobody continues from them without it."""
    atomic_write_text(resume / INPUTS, _inputs_text(inputs))


def prepare_work(work: Path, inputs: Mapping[str, str]) -> None:
    """Create both folders, or keep what an interrupted writer left in them if that one had the same inputs.

    Args:
        work: The work folder.
        inputs: Digest of each input by its name; recorded in the resume folder.

    Raises:
        OSError: If the disk refuses.
    """
    if can_resume(work, inputs):
        work.mkdir(exist_ok=True)
        return
    # The inputs are removed first and written last: an interruption never leaves some that the contents do not have.
    discard_work(work)
    resume = resume_folder(work)
    for folder in (work, resume):
        folder.mkdir(exist_ok=True)
    write_inputs(resume, inputs)


def discard_work(work: Path) -> None:
    """Remove both folders, and first what would be continued from.

    Raises:
        OSError: If the disk refuses.
    """
    resume = resume_folder(work)
    (resume / INPUTS).unlink(missing_ok=True)
    for folder in (work, resume):
        if folder.is_dir():
            shutil.rmtree(folder)


def tidy_work(work: Path) -> None:
    """Remove the work folder if it is empty, and then the resume folder if nothing can continue from it."""
    resume = resume_folder(work)
    with suppress(OSError):
        work.rmdir()
    with suppress(OSError):
        if not work.exists() and [path.name for path in resume.iterdir()] == [INPUTS]:
            discard_resume(work)


def discard_resume(work: Path) -> None:
    """Remove the resume folder: the stage is published, or starts anew."""
    resume = resume_folder(work)
    with suppress(OSError):
        # First, so that an interrupted removal leaves nothing that would be continued from.
        (resume / INPUTS).unlink()
    shutil.rmtree(resume, ignore_errors=True)


def _inputs_text(inputs: Mapping[str, str]) -> str:
    return json.dumps(dict(inputs), sort_keys=True)
