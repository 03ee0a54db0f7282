"""Opening a place by its URL, and trying out once whether it keeps what pkd relies on."""

import json
import re
import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pkd_core.errors import ConfigError, StoreError, quoted
from pkd_core.places.bucket import endpoint
from pkd_core.places.first_writer import create_or_read
from pkd_core.places.folder import FolderObjects
from pkd_core.places.objects import Objects, check_key
from pkd_core.places.s3 import S3Objects

MARKER = "place/tried-out.json"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}")
_WANTED = "s3://bucket/prefix, or file:///folder for a folder that all machines share"


def open_place(url: str) -> Objects:
    """Return the place at a URL; at its first use, it is tried out.

    Raises:
        ConfigError: If the URL names no place, or the package for it is not installed.
        StoreError: If the place cannot be reached, or does not keep what pkd relies on.
    """
    objects, server = _open(url)
    marker = json.dumps({"server": server}).encode()
    tried_out = objects.read(MARKER)
    if tried_out is None or tried_out[0] != marker:
        try_out(objects)
        objects.put(MARKER, marker)
    return objects


def try_out(objects: Objects) -> None:
    """Check that a place creates an object once only, replaces the one meant only, and lists what it has.

    Raises:
        StoreError: If it does not: results of several machines would overwrite each other there.
    """
    key = f"place/trial-{uuid.uuid4().hex}"
    try:
        create_or_read(objects, key, b"first")
        second = create_or_read(objects, key, b"second")
        first = objects.read(key)
        is_once = second == b"first" and first is not None and first[0] == b"first"
        _require(is_once, "creates an object twice", objects)
        assert first is not None
        objects.replace(key, b"third", first[1])
        third = objects.read(key)
        is_replaced = third is not None and third[0] == b"third"
        _require(is_replaced, "does not replace an object by its tag", objects)
        is_refused = not objects.replace(key, b"fourth", first[1])
        third = objects.read(key)
        _require(
            is_refused and third is not None and third[0] == b"third", "ignores an object's tag", objects
        )
        sizes = {found.key: found.size for found in objects.list("place/")}
        _require(sizes.get(key) == len(b"third"), "does not list what was just written", objects)
    finally:
        objects.delete(key)
    _require(objects.read(key) is None, "does not delete", objects)


def _require(is_met: bool, fault: str, objects: Objects) -> None:
    if not is_met:
        raise StoreError(
            f"{objects.url} cannot hold a workspace, because it {fault}: results of two machines could overwrite each"
            " other there; use a server or folder that keeps to conditional writes (see docs/workspaces.md)."
        )


def _open(url: str) -> tuple[Objects, str]:
    """Return the place, not tried out, and the server that holds it."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("s3", "file"):
        raise ConfigError(f"a workspace that machines share needs {_WANTED}; got {quoted(scheme or url)}.")
    if scheme == "file":
        return _open_folder(url), "folder"
    if any(character in rest for character in "@?#"):  # not quoted: it may hold a login
        raise ConfigError(f"the URL of a workspace needs {_WANTED}, without login, '?' or '#'.")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(f"the URL of a workspace needs a bucket's name after s3://, got {quoted(url)}.")
    if prefix:
        check_key(prefix)
    return S3Objects(bucket, prefix), endpoint() or "Amazon"


def _open_folder(url: str) -> FolderObjects:
    parts = urlsplit(url)
    root = Path(unquote(parts.path))
    if parts.netloc or parts.query or parts.fragment or not root.is_absolute():
        raise ConfigError(f"the URL of a shared folder needs three slashes and a path, got {quoted(url)}.")
    if not root.is_dir():
        raise ConfigError(
            f"{root} must be a folder that this machine shares with the others: mount it, or create it once."
        )
    return FolderObjects(root)
