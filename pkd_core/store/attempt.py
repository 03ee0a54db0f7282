"""Attempts: what one machine sends of a stage to a shared place, under a name of its own."""

import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pkd_core.errors import StoreError
from pkd_core.places.objects import Objects
from pkd_core.store.atomic import atomic_write_text

ATTEMPT_RECORD = "attempt.json"


@dataclass(frozen=True)
class Attempt:
    """What was sent so far; recorded in the resume folder, so that a resumed process sends nothing a second time.

    Attributes:
        place: Where it is sent.
        resume: The stage's resume folder.
        id: Hexadecimal, of this attempt alone.
        sent: Hash of each object that was sent, by key.
        restored: When the checkpoint was written that the local folders began with, by the place's clock; 0 if none.
    """

    place: Objects
    resume: Path
    id: str
    sent: dict[str, str]
    restored: float

    @classmethod
    def open(cls, place: Objects, resume: Path) -> "Attempt":
        """Return the attempt that a resume folder belongs to, or a new one."""
        try:
            value = json.loads((resume / ATTEMPT_RECORD).read_text(encoding="utf-8"))
            return cls(place, resume, str(value["id"]), dict(value["sent"]), float(value["restored"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return cls.new(place, resume)

    @classmethod
    def new(cls, place: Objects, resume: Path, restored: float = 0.0) -> "Attempt":
        """Return an attempt that has sent nothing."""
        return cls(place, resume, uuid.uuid4().hex, {}, restored)

    def write(self) -> None:
        """Record the attempt.

        Raises:
            OSError: If the disk refuses.
        """
        value = {"id": self.id, "sent": self.sent, "restored": self.restored}
        atomic_write_text(self.resume / ATTEMPT_RECORD, json.dumps(value) + "\n")

    def send(self, path: Path, key: str, xxh3: str) -> None:
        """Send a file, unless the same bytes were sent under this key.

        Args:
            path: The file.
            key: Its key.
            xxh3: Its hash.

        Raises:
            StoreError: The place cannot be reached.
            OSError: The disk refuses.
        """
        if self.sent.get(key) == xxh3:
            return
        # A process that is killed in between leaves other bytes under the key than are recorded.
        self.forget([key])
        self.place.upload(path, key)
        self.sent[key] = xxh3
        self.write()

    def forget(self, keys: Collection[str]) -> None:
        """Record that some objects are not as they were sent, or are not there."""
        if self.sent.keys() & set(keys):
            for key in keys:
                self.sent.pop(key, None)
            self.write()

    def delete(self, keys: Collection[str]) -> None:
        """Delete objects that this attempt has sent; what cannot be deleted is left to `pkd clean`."""
        try:
            self.forget(keys)
            for key in keys:
                self.place.delete(key)
        except StoreError:
            pass
