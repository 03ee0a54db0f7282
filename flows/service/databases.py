"""The databases of both servers: from the variables that the servers themselves read, with a driver that is there."""

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pkd_core.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import URL

# Prefect's newer name of the first one counts where both are set, as for Prefect.
PREFECT_VARIABLES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
MLFLOW_VARIABLE = "MLFLOW_BACKEND_STORE_URI"
_FOR_PSYCOPG2 = ("postgresql", "postgresql+asyncpg")
_SECONDS = 10


@dataclass(frozen=True)
class Databases:
    """The addresses of the servers' databases, which may contain passwords; None for a file in the workspace."""

    prefect: str | None = field(default=None, repr=False)
    mlflow: str | None = field(default=None, repr=False)

    def prefect_environment(self) -> Mapping[str, str]:
        """Return what Prefect's server reads its database from."""
        return {PREFECT_VARIABLES[1]: self.prefect} if self.prefect else {}


IN_FILES = Databases()


def take_databases() -> Databases:
    """Take the servers' databases out of the environment, for the servers alone, and check that they answer.

    For a database of Postgres the driver is added that the server needs: asyncpg for Prefect, psycopg2 for MLflow.

    Raises:
        ConfigError: An address is none, a driver is not installed, a database does not answer, or both are the same;
            never shows a password.
    """
    given = [(name, os.environ.pop(name, "")) for name in PREFECT_VARIABLES]
    name, prefect = next((one for one in given if one[1]), given[1])
    addresses = {name: prefect, MLFLOW_VARIABLE: os.environ.pop(MLFLOW_VARIABLE, "")}
    urls = {variable: with_driver(variable, text) for variable, text in addresses.items() if text}
    for variable, url in urls.items():
        if url.get_backend_name() == "postgresql":
            _check_answers(variable, url)
    places = [(url.host, url.port, url.database) for url in urls.values()]
    if len(places) != len(set(places)):
        raise ConfigError(
            f"Prefect and MLflow need a database each, got {_shown(urls[name])} for both; create a second one, and "
            f"name it in {MLFLOW_VARIABLE}."
        )
    # Rendered for the servers' environment: otherwise SQLAlchemy puts stars in place of the password.
    rendered = {variable: url.render_as_string(hide_password=False) for variable, url in urls.items()}
    return Databases(rendered.get(name), rendered.get(MLFLOW_VARIABLE))


def with_driver(variable: str, address: str) -> "URL":
    """Return a database's address with the driver that its server needs, where it is one of Postgres.

    Args:
        variable: The variable that has the address.
        address: As SQLAlchemy or Postgres writes it.

    Raises:
        ConfigError: It is no address.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    # Some providers write postgres://, which SQLAlchemy does not know.
    address = re.sub(r"^postgres://", "postgresql://", address)
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise ConfigError(
            f"{variable} needs an address such as postgresql://pkd:password@127.0.0.1:5432/database, and got another; "
            "correct it (in the password, write % as %25, @ as %40, / as %2F and : as %3A)."
        ) from None
    if url.get_backend_name() != "postgresql":
        return url
    if variable == MLFLOW_VARIABLE:
        # Without a driver SQLAlchemy would take psycopg 3, which nothing installs.
        return url.set(drivername="postgresql+psycopg2") if url.drivername in _FOR_PSYCOPG2 else url
    if mode := url.query.get("sslmode"):
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return url.set(drivername="postgresql+asyncpg")


def _check_answers(variable: str, url: "URL") -> None:
    """Connect once, as the server will.

    Raises:
        ConfigError: That fails.
    """
    try:
        if url.drivername == "postgresql+asyncpg":
            asyncio.run(_connect_async(url))
        else:
            _connect(url)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{variable} needs the Python package {error.name}, which is not installed; install it with: "
            "pip install 'pkd[servers]'."
        ) from None
    except Exception as error:  # drivers raise errors of their own, which SQLAlchemy does not always wrap
        answer = " ".join(str(getattr(error, "orig", error) or type(error).__name__).split())
        raise ConfigError(
            f"{variable} needs a database that answers, and {_shown(url)} gives '{answer}'; correct it, or create "
            "the database first."
        ) from None


def _connect(url: "URL") -> None:
    from sqlalchemy import create_engine

    engine = create_engine(url, connect_args={"connect_timeout": _SECONDS})
    engine.connect().close()
    engine.dispose()


async def _connect_async(url: "URL") -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url, connect_args={"timeout": _SECONDS})
    async with engine.connect():
        pass
    await engine.dispose()


def _shown(url: "URL") -> str:
    """Return an address for a message: without login, driver and options."""
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database or ''}"
