"""Sets Prefect's database aside where its server could not use it: it is only the history of flow runs."""

import fcntl
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from flows.limits import check_disk
from pkd_core.store.atomic import durable_rename
from pkd_core.store.lock import hold
from pkd_core.store.os_errors import file_errors

logger = logging.getLogger(__name__)

_MIGRATIONS = Path("server", "database", "_migrations", "versions", "sqlite")
_REVISION = re.compile(r'^revision = "(\w+)"', re.MULTILINE)
# SQLite's file format: a connection to a database in WAL mode holds a shared lock on these bytes while it is open.
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510


@contextmanager
def alone_at_start(home: Path) -> Iterator[None]:
    """Hold Prefect's folder while the body starts a server, until that answers; first set aside what it could not use.

    Servers that create one database at the same moment, or bring it to their version, fail each other: they end with
    status 3.

    Args:
        home: Prefect's folder, PREFECT_HOME.

    Raises:
        StoreError: The folder cannot be written, or the disk is too full for a server's database.
    """
    with file_errors("write", home):
        home.mkdir(parents=True, exist_ok=True)
    check_disk(home)
    with hold(home / "starting.lock", "start Prefect's server"):
        set_aside_unusable_database(home)
        yield


def set_aside_unusable_database(home: Path) -> None:
    """Rename a database that is damaged, or that a newer Prefect wrote; the server then makes a new one.

    What another server has open is not touched. One that starts at the same moment would be: see `alone_at_start`.

    Args:
        home: Prefect's folder, PREFECT_HOME.

    Raises:
        StoreError: The folder cannot be written.
    """
    path = home / "prefect.db"
    if not path.exists() or _is_open_elsewhere(path):
        return
    fault = _fault(path)
    if fault is None:
        return
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    aside = path.with_name(f"prefect.db.aside-{now}")
    with file_errors("rename", path):
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                durable_rename(Path(f"{path}{suffix}"), Path(f"{aside}{suffix}"))
    logger.warning("Prefect's history of flow runs %s: it is kept as %s, and a new one is made", fault, aside)


def _is_open_elsewhere(path: Path) -> bool:
    with file_errors("read", path), path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
        except BlockingIOError:
            return True
    return False


def _fault(path: Path) -> str | None:
    """Return what is wrong with a database, or None."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if answer != "ok":
                return f"is damaged ({' '.join(answer.split())})"
            tables = [
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            if "alembic_version" not in tables:
                return None if not tables else "is none of Prefect's databases"
            revisions = {
                revision for (revision,) in connection.execute("SELECT version_num FROM alembic_version")
            }
    except sqlite3.Error as error:
        is_damaged = error.sqlite_errorcode in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
        return f"is damaged ({error})" if is_damaged else None
    known = set(_known_revisions())
    return "is of a newer version of Prefect" if known and not revisions <= known else None


def _known_revisions() -> Iterator[str]:
    """Yield the versions of the database that the installed Prefect knows, without importing its server."""
    spec = find_spec("prefect")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(folder, _MIGRATIONS).glob("*.py"):
            yield from _REVISION.findall(path.read_text(encoding="utf-8"))
