"""A place in an object store that speaks S3, by obstore."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pkd_core.errors import StoreError
from pkd_core.places.bucket import is_no_bucket, open_bucket, server_errors, whole_answer
from pkd_core.places.objects import Object, check_key, check_prefix

if TYPE_CHECKING:
    from obstore import Bytes, GetOptions, ObjectMeta
    from obstore.store import S3Store

_PART_BYTES = 5 << 20  # S3's least
_MAX_PARTS = 9_000  # S3 allows 10,000
_NUM_PARTS_AT_ONCE = 4
_NUM_TRIES = 3


@dataclass(frozen=True)
class S3Objects:
    """Objects of a bucket below a prefix; `open_bucket` says where credentials come from.

    Attributes:
        bucket: The bucket's name.
        prefix: What the keys begin with, without slashes at its ends; may be empty.
    """

    bucket: str
    prefix: str
    _store: "S3Store" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_store", open_bucket(self.bucket, self.prefix))

    @property
    def url(self) -> str:
        """The address, such as "s3://bucket/prefix"."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def create(self, key: str, content: bytes) -> bool:
        """Write an object where there is none; return whether it was written by this call."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        for num_left in reversed(range(_NUM_TRIES)):
            try:
                with server_errors(f"create {key}", self.url):
                    obstore.put(self._store, check_key(key), content, mode="create")
                return True
            except AlreadyExistsError:
                # S3 says so too while another request for the key is under way, which may still fail.
                if not num_left or self._head(key) is not None:
                    break
        return False

    def replace(self, key: str, content: bytes, tag: str) -> bool:
        """Write an object in place of the one with a tag; return False if it has another by now, or is gone."""
        import obstore
        from obstore.exceptions import PreconditionError

        try:
            with server_errors(f"replace {key}", self.url):
                obstore.put(self._store, check_key(key), content, mode={"e_tag": tag})
        except PreconditionError:
            return False
        return True

    def put(self, key: str, content: bytes) -> None:
        """Write an object whatever is there: only for keys that nobody else writes."""
        import obstore

        with server_errors(f"write {key}", self.url):
            obstore.put(self._store, check_key(key), content, use_multipart=False)

    def read(self, key: str) -> tuple[bytes, str] | None:
        """Return a small object's content and the server's tag; None if there is none."""
        with server_errors(f"read {key}", self.url):
            try:
                content, meta = self._get(check_key(key), {})
            except FileNotFoundError as error:
                if is_no_bucket(error):
                    raise
                return None
        return bytes(content), meta["e_tag"] or ""

    def upload(self, path: Path, key: str) -> None:
        """Write a file of any size as an object, whatever is there: only for keys that nobody else writes.

        A file of more than 5 MiB goes in parts, four at a time. Parts of an upload that was killed stay in the bucket,
        unseen, until its rules delete them (AbortIncompleteMultipartUpload).

        Raises:
            OSError: If the file cannot be read.
            StoreError: If the place fails.
        """
        import obstore

        part_bytes = max(_PART_BYTES, path.stat().st_size // _MAX_PARTS + 1)
        for num_left in reversed(range(_NUM_TRIES)):
            try:
                with path.open("rb") as file, server_errors(f"write {key}", self.url):
                    obstore.put(
                        self._store,
                        check_key(key),
                        file,
                        chunk_size=part_bytes,
                        max_concurrency=_NUM_PARTS_AT_ONCE,
                    )
                    return
            except StoreError:
                if not num_left:
                    raise

    def download(self, key: str, path: Path) -> None:
        """Write an object of any size to a file, which is complete only when the call returns.

        It comes in parts, four at a time, which are all of the same object or fail.

        Raises:
            OSError: If the file cannot be written.
            StoreError: If there is none, or the place fails.
        """
        with server_errors(f"read {key}", self.url):
            meta = self._head(check_key(key))
            if meta is None:
                raise StoreError(f"pkd needs {key} in {self.url}, but there is no such object.")
        with path.open("wb") as file, ThreadPoolExecutor(_NUM_PARTS_AT_ONCE) as pool:
            starts = range(0, meta["size"], _PART_BYTES)
            parts = [
                pool.submit(self._fetch, key, meta["e_tag"], start, meta["size"], file.fileno())
                for start in starts
            ]
            try:
                for part in parts:
                    part.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def list(self, prefix: str) -> Iterator[Object]:
        """Yield every object whose key begins with a prefix that ends in "/", sorted by key; "" means all."""
        import obstore

        with server_errors(f"list {prefix or 'all'}", self.url):
            start = check_prefix(prefix) or None
            metas = whole_answer(lambda: obstore.list(self._store, start).collect())
        found = (Object(meta["path"], meta["size"], meta["last_modified"].timestamp()) for meta in metas)
        yield from sorted(found, key=lambda found: found.key)

    def delete(self, key: str) -> None:
        """Delete an object; nothing happens if there is none."""
        import obstore

        with server_errors(f"delete {key}", self.url):
            try:
                obstore.delete(self._store, check_key(key))
            except FileNotFoundError as error:
                if is_no_bucket(error):
                    raise

    def _head(self, key: str) -> "ObjectMeta | None":
        import obstore

        with server_errors(f"look at {key}", self.url):
            try:
                return obstore.head(self._store, key)
            except FileNotFoundError:
                return None

    def _get(self, key: str, options: "GetOptions") -> "tuple[Bytes, ObjectMeta]":
        import obstore

        def ask() -> "tuple[Bytes, ObjectMeta]":
            found = obstore.get(self._store, key, options=options)
            return found.bytes(), found.meta

        return whole_answer(ask)

    def _fetch(self, key: str, tag: str | None, start: int, size: int, descriptor: int) -> None:
        from obstore.exceptions import PreconditionError

        options: GetOptions = {"range": (start, min(start + _PART_BYTES, size)), "if_match": tag}
        with server_errors(f"read {key}", self.url):
            try:
                rest = memoryview(self._get(key, options)[0])
            except PreconditionError as error:
                raise StoreError(f"{key} in {self.url} was replaced while it was read: run again.") from error
        while rest:
            num_written = os.pwrite(descriptor, rest, start)
            rest, start = rest[num_written:], start + num_written
