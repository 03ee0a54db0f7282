"""The files of a work folder that an interrupted stage had finished, with their hashes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pkd_core.store.atomic import atomic_write_text
from pkd_core.store.fingerprint import hash_file

_RECORD = "finished.json"


class FinishedRecord(Protocol):
    """Knows which files of a work folder are finished."""

    def add(self, name: str) -> None:
        """Record a file that is complete and on the disk."""
        ...

    def is_finished(self, name: str) -> bool:
        """Return whether a file was recorded and still has the same bytes."""
        ...


class FinishedFiles:
    """Records each file of a work folder once it is finished; a resumed stage keeps what still has the recorded bytes.

    Args:
        work: The work folder.
        resume: The resume folder beside it, which holds the record; it exists.
        check_inputs: Called before a file is recorded; raises if what it was computed from has changed.
        keep: Called after a file was recorded.
    """

    def __init__(
        self,
        work: Path,
        resume: Path,
        check_inputs: Callable[[], None] = lambda: None,
        keep: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._record = resume / _RECORD
        self._check_inputs = check_inputs
        self._keep = keep
        self._hashes = read_finished(resume)

    def add(self, name: str) -> None:
        """Record a file that is complete and on the disk.

        Raises:
            OSError: If the record cannot be written.
            StoreError: If an input has changed.
        """
        self._check_inputs()
        self._hashes[name] = hash_file(self._work / name)
        atomic_write_text(self._record, json.dumps(self._hashes, indent=1) + "\n")
        self._keep()

    def is_finished(self, name: str) -> bool:
        """Return whether a file was recorded and still has the same bytes."""
        try:
            return name in self._hashes and hash_file(self._work / name) == self._hashes[name]
        except OSError:
            return False


def read_finished(resume: Path) -> dict[str, str]:
    """Return the hash of each finished file by its name in the work folder.

    A record that is absent or damaged is empty, so that everything is done again.
    """
    try:
        hashes = json.loads((resume / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return hashes if isinstance(hashes, dict) else {}
