"""Attached workspaces: local folders that belong to a workspace in a place that several machines share.

As a clone of a repository knows its remote, the file `place.json` of such a folder names its place. The folder is a
cache of what the place holds, and where this machine computes.
"""

import functools
import hashlib
import json
import os
import re
from pathlib import Path

from pkd_core.errors import StoreError, quoted
from pkd_core.places.objects import Objects
from pkd_core.places.opening import open_place
from pkd_core.store.atomic import atomic_write_text
from pkd_core.store.os_errors import file_errors

CACHE_VARIABLE = "PKD_CACHE"
_MARK = "place.json"
_MAX_NAME = 60


def attach(url: str) -> Path:
    """Return this machine's folder of a workspace in a shared place; it is made if there is none.

    Args:
        url: The place, such as "s3://bucket/prefix" or "file:///mnt/pkd".

    Returns:
        A folder below that of the environment variable PKD_CACHE, which is ~/.cache/pkd without it.

    Raises:
        StoreError: The place cannot be used, or the folder belongs to another one, or cannot be written.
    """
    place = _opened(url)
    workspace = _cache_folder() / _folder_name(place.url)
    mark = workspace / _MARK
    with file_errors("write", workspace):
        workspace.mkdir(parents=True, exist_ok=True)
        if not mark.exists():
            # Processes that attach at the same time write the same.
            atomic_write_text(mark, json.dumps({"url": place.url}) + "\n", has_concurrent_writers=True)
    if (found := _read_mark(mark)) != place.url:
        raise StoreError(
            f"{workspace} must belong to {place.url}, and belongs to {found}: move it away, or set {CACHE_VARIABLE} "
            "to another folder."
        )
    return workspace


def place_of(workspace: Path) -> Objects | None:
    """Return the place that a workspace is attached to; None if it is one of this machine alone.

    Raises:
        StoreError: Its `place.json` cannot be read, or the place cannot be used.
    """
    url = _read_mark(workspace / _MARK)
    return None if url is None else _opened(url)


@functools.cache
def _opened(url: str) -> Objects:
    return open_place(url)


def _cache_folder() -> Path:
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).absolute() if chosen else Path.home() / ".cache" / "pkd"


def _folder_name(url: str) -> str:
    """Return a name that people recognize, and that no other URL has.

    >>> _folder_name("s3://lab/bert compression")
    's3-lab-bert-compression-918012d2d77f'
    """
    readable = re.sub(r"[^A-Za-z0-9._]+", "-", url)[:_MAX_NAME].strip("-")
    return f"{readable}-{hashlib.sha256(url.encode('utf-8')).hexdigest()[:12]}"


def _read_mark(path: Path) -> str | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path} must be readable, and is not ({error.strerror}).") from error
    except (ValueError, RecursionError):
        value = None
    url = value.get("url") if isinstance(value, dict) else None
    if not isinstance(url, str):
        raise StoreError(
            f"{path} must name the place of this workspace, and says {quoted(value)}: delete it, and give the place's "
            "URL as the workspace."
        )
    return url
