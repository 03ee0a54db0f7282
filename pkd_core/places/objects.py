"""What a place of objects must be able to do: objects are written whole, and created only where there is none."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pkd_core.errors import StoreError, quoted

# What a place may hide from its lists: FolderObjects' own temporary files, and those of an NFS client.
HIDDEN = (".pkd-", ".nfs")
_SEGMENT = re.compile(r"[^/\\\x00-\x1f\x7f]{1,255}")


@dataclass(frozen=True)
class Object:
    """An object in a place.

    Attributes:
        key: Its name, with forward slashes, relative to the place.
        size: In bytes.
        modified: Time of the last change by the place's own clock, in seconds since 1970.
    """

    key: str
    size: int
    modified: float


class Objects(Protocol):
    """A place of objects that several machines see alike.

    A method that fails raises StoreError in one sentence; what it was to write is then there whole, or not at all.
    Answers can be lost: `create` and `replace` may have written and still raise, or find their own object there.
    `create_or_read` tries again and reads back.
    """

    @property
    def url(self) -> str:
        """The address, such as "s3://bucket/prefix" or "file:///mnt/pkd"; without any secret."""

    def create(self, key: str, content: bytes) -> bool:
        """Write an object where there is none; return whether it was written by this call."""

    def replace(self, key: str, content: bytes, tag: str) -> bool:
        """Write an object in place of the one with a tag; return False if it has another by now, or is gone."""

    def put(self, key: str, content: bytes) -> None:
        """Write an object whatever is there: only for keys that nobody else writes."""

    def read(self, key: str) -> tuple[bytes, str] | None:
        """Return a small object's content and tag; None if there is none.

        The tag differs whenever the content differs. Tags of two places cannot be compared.
        """

    def upload(self, path: Path, key: str) -> None:
        """Write a file of any size as an object, whatever is there: only for keys that nobody else writes.

        Raises OSError if the file cannot be read.
        """

    def download(self, key: str, path: Path) -> None:
        """Write an object of any size to a file, which is complete only when the call returns.

        Raises OSError if the file cannot be written.
        """

    def list(self, prefix: str) -> Iterator[Object]:
        """Yield every object whose key begins with a prefix that ends in "/", sorted by key; "" means all."""

    def delete(self, key: str) -> None:
        """Delete an object; nothing happens if there is none."""


def check_key(key: str) -> str:
    """Return a key that every place can hold, and that does not lead out of the place.

    Raises:
        StoreError: If a part between slashes is empty, ".", "..", too long, reserved, or has control characters.
    """
    for part in key.split("/"):
        if part in (".", "..") or part.startswith(HIDDEN) or not _SEGMENT.fullmatch(part):
            raise StoreError(
                f"a key in a place needs parts of 1 to 255 plain characters between slashes, got {quoted(key)}."
            )
    return key


def check_prefix(prefix: str) -> str:
    """Return a prefix for `list`: "", or a key and a slash.

    Raises:
        StoreError: If it is neither.
    """
    if prefix and not prefix.endswith("/"):
        raise StoreError(f'a prefix to list needs "/" at its end, got {quoted(prefix)}.')
    check_key(prefix[:-1] or "all")
    return prefix
