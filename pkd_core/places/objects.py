"""What a place of objects must be able to do: objects are written whole, and created only where there is none."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Object:
    """An object in a place.

    Attributes:
        key: Its name, with forward slashes, relative to the place.
        size: In bytes.
        tag: Differs whenever the content differs; from the place, not comparable between places.
        modified: Time of the last change by the place's own clock, in seconds since 1970.
    """

    key: str
    size: int
    tag: str
    modified: float


class Objects(Protocol):
    """A place of objects that several machines see alike.

    A method that fails raises StoreError in one sentence; what it was to write is then there whole, or not at all.
    Answers can be lost: `create` and `replace` may have written and still raise, or find their own object there.
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
        """Return a small object's content and tag; None if there is none."""

    def upload(self, path: Path, key: str) -> None:
        """Write a file of any size as an object, whatever is there: only for keys that nobody else writes."""

    def download(self, key: str, path: Path) -> None:
        """Write an object of any size to a file, which is complete only when the call returns."""

    def list(self, prefix: str) -> Iterator[Object]:
        """Yield every object whose key begins with a prefix that ends in "/", sorted by key."""

    def delete(self, key: str) -> None:
        """Delete an object; nothing happens if there is none."""
