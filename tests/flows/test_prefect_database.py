"""Prefect's database is set aside, and kept, where its server could not use it, and never while one uses it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen
from sys import executable

import pytest

from flows.service.prefect_database import (
    _fault,
    _is_open_elsewhere,
    _known_revisions,
    set_aside_unusable_database,
)

# Opens a database as Prefect's server does, and waits.
OPENS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("SELECT * FROM alembic_version").fetchall()
print("open", flush=True)
input()
"""


def write_database(path: Path, revision: str | None) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        if revision is not None:
            connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
            connection.execute("INSERT INTO alembic_version VALUES (?)", [revision])
        connection.execute("CREATE TABLE flow_run (name TEXT)")
        connection.executemany("INSERT INTO flow_run VALUES (?)", [["x" * 1000]] * 100)


@pytest.fixture(scope="session")
def newest(server: None) -> str:
    """The version of the database that the installed Prefect's server has made."""
    path = Path(os.environ["PREFECT_HOME"], "prefect.db")
    assert _is_open_elsewhere(path)
    assert _fault(path) is None
    with closing(sqlite3.connect(path)) as connection:
        ((revision,),) = connection.execute("SELECT version_num FROM alembic_version")
    assert revision in set(_known_revisions())
    return str(revision)


@pytest.fixture
def database(tmp_path: Path, newest: str) -> Path:
    path = tmp_path / "prefect.db"
    write_database(path, newest)
    return path


def kept(database: Path) -> list[Path]:
    return sorted(database.parent.glob("prefect.db.aside-*"))


def test_what_the_installed_prefect_wrote_stays(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = database.read_bytes()
    set_aside_unusable_database(database.parent)
    assert database.read_bytes() == before
    assert kept(database) == []
    assert caplog.text == ""


@pytest.mark.parametrize("content", [None, b""])
def test_a_database_that_is_not_there_yet_or_empty_is_left_to_the_server(
    content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "prefect.db"
    if content is not None:
        path.write_bytes(content)
    set_aside_unusable_database(tmp_path)
    assert path.exists() == (content is not None)
    assert kept(path) == []


def spoil_header(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)


def spoil_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3 * 4096 : 6 * 4096] = os.urandom(3 * 4096)
    path.write_bytes(content)


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def make_newer(path: Path) -> None:
    path.unlink()
    write_database(path, "0123456789ab")


def make_foreign(path: Path) -> None:
    path.unlink()
    write_database(path, None)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_header, "is damaged (file is not a database)"),
        (spoil_page, "is damaged ("),
        (shorten, "is damaged ("),
        (make_newer, "is of a newer version of Prefect"),
        (make_foreign, "is none of Prefect's databases"),
    ],
)
def test_what_the_server_could_not_use_is_kept_under_another_name_and_named_in_one_line(
    spoil: object, reason: str, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(spoil)
    spoil(database)
    content = database.read_bytes()
    set_aside_unusable_database(database.parent)
    assert not database.exists()
    (aside,) = kept(database)
    assert aside.read_bytes() == content
    (message,) = caplog.messages
    assert message.startswith(f"Prefect's history of flow runs {reason}")
    assert str(aside) in message


def test_what_another_server_has_open_is_not_touched(database: Path) -> None:
    make_newer(database)
    with Popen([executable, "-c", OPENS, str(database)], stdin=PIPE, stdout=PIPE, text=True) as server:
        assert server.stdin and server.stdout
        assert server.stdout.readline() == "open\n"
        set_aside_unusable_database(database.parent)
        assert database.exists()
        server.communicate("\n")
    set_aside_unusable_database(database.parent)
    assert not database.exists()
