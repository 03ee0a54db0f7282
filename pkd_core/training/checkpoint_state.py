"""The small file of a checkpoint beside its tensors: the training's state, and the hash of every file."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pkd_core.store.fingerprint import canonical_json, hash_file

_STATE = "state.json"
_FORMAT = 2
# What reading a damaged state may raise.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def checkpoint_folders(resume: Path) -> tuple[Path, Path]:
    """Return the folders of the newest checkpoint, and of the one before it while that is replaced."""
    return resume / "checkpoint", resume / "checkpoint.before"


def read_step(resume: Path) -> int | None:
    """Return the step of the newest checkpoint in a resume folder; None if there is none that can be read.

    Only the small file of its state is read and verified. The tensors are verified when the training resumes, which
    then starts from an earlier checkpoint, or anew, if they are damaged.
    """
    for folder in checkpoint_folders(resume):
        with suppress(*UNREADABLE):
            return int(_read_content(folder)["state"]["step"])
    return None


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint's state with the hash of every file, and of the state itself."""
    content = {
        "format": _FORMAT,
        "files": {path.name: hash_file(path) for path in sorted(folder.iterdir())},
        "state": state,
    }
    checksum = hashlib.sha256(canonical_json(content)).hexdigest()
    (folder / _STATE).write_text(json.dumps(content | {"sha256": checksum}), encoding="utf-8")


def read_state(folder: Path) -> Any:
    """Read a checkpoint's state.

    Raises:
        ValueError: A file, or the state itself, has other bytes than were written.
    """
    content = _read_content(folder)
    found = {path.name: hash_file(path) for path in folder.iterdir() if path.name != _STATE}
    for name in sorted(found.keys() | content["files"].keys()):
        if found.get(name) != content["files"].get(name):
            raise ValueError(f"its {name} is not what was written")
    return content["state"]


def _read_content(folder: Path) -> Any:
    """Read the file of a checkpoint's state, and verify it alone."""
    content = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    checksum = content.pop("sha256")
    if checksum != hashlib.sha256(canonical_json(content)).hexdigest() or content["format"] != _FORMAT:
        raise ValueError(f"its {_STATE} is not what was written, or of another version of pkd")
    return content
