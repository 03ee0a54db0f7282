"""A place in a folder that several machines share, such as NFS or Lustre; no locks of the file system are used.

An object is a file. It is written under a temporary name in its own folder and then gets its name: by `link`, which
never overwrites and which the server decides, or by `rename`, in one step.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pkd_core.errors import StoreError
from pkd_core.places import shared_files
from pkd_core.places.objects import Object, check_key, check_prefix


@dataclass(frozen=True)
class FolderObjects:
    """Objects as files of a shared folder.

    Attributes:
        root: The folder, which exists; an absolute path.
    """

    root: Path

    @property
    def url(self) -> str:
        """The address, such as "file:///mnt/pkd"."""
        return self.root.as_uri()

    def create(self, key: str, content: bytes) -> bool:
        """Write an object where there is none; return whether it was written by this call."""
        path = self._path(key)
        with self._errors("create", key), shared_files.temporary_file(path, content, self.root) as temporary:
            return shared_files.link(temporary, path)

    def replace(self, key: str, content: bytes, tag: str) -> bool:
        """Write an object in place of the one with a tag; return False if it has another by now, or is gone.

        The old one is taken away first, which only one of several can do. For a moment there is none.
        """
        path = self._path(key)
        standing = self.read(key)
        if standing is None or standing[1] != tag:
            return False
        with self._errors("replace", key), shared_files.temporary_file(path, content, self.root) as new:
            old = shared_files.temporary_path(path)
            try:
                if not shared_files.take_away(path, old):
                    return False
                # Another may have replaced it since it was read: then that one goes back.
                is_unchanged = _tag(old.read_bytes()) == tag
                is_written = shared_files.link(new if is_unchanged else old, path)
            except BaseException:
                shared_files.put_back(old, path)
                raise
            with suppress(OSError):
                old.unlink()
            return is_unchanged and is_written

    def put(self, key: str, content: bytes) -> None:
        """Write an object whatever is there: only for keys that nobody else writes."""
        self._put(key, content)

    def read(self, key: str) -> tuple[bytes, str] | None:
        """Return a small object's content and its hash; None if there is none."""
        path = self._path(key)
        with self._errors("read", key):
            content = shared_files.read(path, self.root)
        return None if content is None else (content, _tag(content))

    def upload(self, path: Path, key: str) -> None:
        """Write a file of any size as an object, whatever is there: only for keys that nobody else writes.

        Raises:
            OSError: If the file cannot be read.
            StoreError: If the place fails.
        """
        with path.open("rb"):
            self._put(key, path)

    def download(self, key: str, path: Path) -> None:
        """Write an object of any size to a file, which is complete only when the call returns.

        Raises:
            OSError: If the file cannot be written.
            StoreError: If there is none, or the place fails.
        """
        source = self._path(key)
        path.touch()
        with self._errors("read", key):
            shared_files.copy(source, path, self.root)

    def list(self, prefix: str) -> Iterator[Object]:
        """Yield every object whose key begins with a prefix that ends in "/", sorted by key; "" means all."""
        folder = self.root / check_prefix(prefix)
        with self._errors("list", prefix):
            found = [
                Object(path.relative_to(self.root).as_posix(), status.st_size, status.st_mtime)
                for path, status in shared_files.walk(folder, self.root)
            ]
        yield from sorted(found, key=lambda found: found.key)

    def delete(self, key: str) -> None:
        """Delete an object, and the folders that are then empty; nothing happens if there is none."""
        path = self._path(key)
        with self._errors("delete", key):
            shared_files.delete(path, self.root)

    def _put(self, key: str, source: bytes | Path) -> None:
        path = self._path(key)
        with self._errors("write", key), shared_files.temporary_file(path, source, self.root) as temporary:
            shared_files.rename(temporary, path)

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    @contextmanager
    def _errors(self, need: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if need == "read" and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # it is the file that is written which finds no space
            answer = os.strerror(error.errno) if error.errno else str(error)
            raise StoreError(
                f"pkd needs to {need} {key or 'all'} in {self.url}, but the system answers '{answer}':"
                " check that folder on this machine and run again (what is finished is kept)."
            ) from error


def _tag(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
