"""The servers' databases: taken out of the environment, given the driver that each server needs, and asked first."""

import os
import socket
from collections.abc import Iterator

import pytest

from flows.service.databases import IN_FILES, MLFLOW_VARIABLE, Databases, take_databases, with_driver
from pkd_core.errors import ConfigError

PREFECT, PREFECT_NEW = "PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL"
SECRET = "secret-of-the-lab"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (PREFECT, PREFECT_NEW, MLFLOW_VARIABLE):
        # Set first, so that monkeypatch also undoes what the tested code removes.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens: it is bound."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


@pytest.mark.parametrize(
    ("variable", "address", "expected"),
    [
        (PREFECT, "postgresql://me@db/pkd", "postgresql+asyncpg://me@db/pkd"),
        (PREFECT, "postgres://me@db/pkd", "postgresql+asyncpg://me@db/pkd"),
        (PREFECT, "postgresql+psycopg2://me@db/pkd", "postgresql+asyncpg://me@db/pkd"),
        (PREFECT, "postgresql://me@db/pkd?sslmode=require", "postgresql+asyncpg://me@db/pkd?ssl=require"),
        (PREFECT, "sqlite+aiosqlite:////tmp/a.db", "sqlite+aiosqlite:////tmp/a.db"),
        (MLFLOW_VARIABLE, "postgresql://me@db/pkd", "postgresql+psycopg2://me@db/pkd"),
        (MLFLOW_VARIABLE, "postgres://me@db/pkd", "postgresql+psycopg2://me@db/pkd"),
        (MLFLOW_VARIABLE, "postgresql+psycopg://me@db/pkd", "postgresql+psycopg://me@db/pkd"),
        (
            MLFLOW_VARIABLE,
            "postgresql://me@db/pkd?sslmode=require",
            "postgresql+psycopg2://me@db/pkd?sslmode=require",
        ),
        (MLFLOW_VARIABLE, "sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
    ],
)
def test_postgres_gets_the_driver_of_its_server(variable: str, address: str, expected: str) -> None:
    assert with_driver(variable, address).render_as_string(hide_password=False) == expected


def test_without_the_variables_both_are_files() -> None:
    assert take_databases() == IN_FILES
    assert IN_FILES.prefect_environment() == {}


def test_the_servers_alone_get_the_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFECT, "sqlite+aiosqlite:////tmp/old.db")
    monkeypatch.setenv(PREFECT_NEW, f"sqlite+aiosqlite:////tmp/{SECRET}.db")
    monkeypatch.setenv(MLFLOW_VARIABLE, f"sqlite:////tmp/m-{SECRET}.db")
    found = take_databases()
    assert found == Databases(f"sqlite+aiosqlite:////tmp/{SECRET}.db", f"sqlite:////tmp/m-{SECRET}.db")
    assert found.prefect_environment() == {PREFECT: f"sqlite+aiosqlite:////tmp/{SECRET}.db"}
    assert SECRET not in repr(found)
    assert [value for value in os.environ.values() if SECRET in value] == []


@pytest.mark.parametrize("variable", [PREFECT, PREFECT_NEW, MLFLOW_VARIABLE])
def test_a_database_that_does_not_answer_is_named_in_one_sentence_without_the_password(
    variable: str, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"postgresql://me:{SECRET}@127.0.0.1:{closed_port}/pkd")
    with pytest.raises(ConfigError) as caught:
        take_databases()
    sentence = str(caught.value)
    assert sentence.startswith(
        f"{variable} needs a database that answers, and postgresql://127.0.0.1:{closed_port}/pkd gives "
    )
    assert SECRET not in sentence


@pytest.mark.parametrize("variable", [PREFECT, MLFLOW_VARIABLE])
def test_what_is_no_address_is_refused_without_being_shown(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"host=db password={SECRET}")
    with pytest.raises(ConfigError, match=rf"^{variable} needs an address such as postgresql://") as caught:
        take_databases()
    assert SECRET not in str(caught.value)


def test_one_database_for_both_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFECT, "sqlite+aiosqlite:////tmp/a.db")
    monkeypatch.setenv(MLFLOW_VARIABLE, "sqlite:////tmp/a.db")
    with pytest.raises(
        ConfigError, match=r"^Prefect and MLflow need a database each, got sqlite:////tmp/a\.db "
    ):
        take_databases()
