"""The login of what `pkd up` starts: read from PKD_LOGIN, and told to Prefect, to MLflow and to our own requests."""

import os
import secrets
import tempfile
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pkd_core.errors import ConfigError

VARIABLE = "PKD_LOGIN"
_MIN_PASSWORD_LENGTH = 12  # MLflow's own rule
_PUBLIC_PASSWORD = "password1234"  # MLflow's default of old, which it refuses
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Login:
    """A name and a password; whoever prints it shows the name alone."""

    name: str
    password: str = field(repr=False)

    @property
    def pair(self) -> str:
        """The form in which Prefect and HTTP take it, and PKD_LOGIN gives it."""
        return f"{self.name}:{self.password}"


def read_login() -> Login | None:
    """Return the login of PKD_LOGIN, or None where it is not set.

    Raises:
        ConfigError: It is not `name:password`, or one of the servers would not take the password; never shows it.
    """
    value = os.environ.get(VARIABLE, "")
    if not value:
        return None
    name, colon, password = value.partition(":")
    # Prefect compares logins as ASCII, and may lose what cannot be seen.
    if not colon or not name or not value.isascii() or not value.isprintable() or value != value.strip():
        raise ConfigError(
            f"{VARIABLE} needs the form name:password in plain ASCII, without spaces around it, and got another; "
            "set it anew, or unset it to have no login."
        )
    if len(password) < _MIN_PASSWORD_LENGTH or password == _PUBLIC_PASSWORD:
        raise ConfigError(
            f"{VARIABLE} needs a password of {_MIN_PASSWORD_LENGTH} characters or more, and got a shorter one or "
            "the one that MLflow once had; set another, or unset it to have no login."
        )
    return Login(name, password)


def for_prefect_server(login: Login | None) -> dict[str, str]:
    """Return the environment of a Prefect server that asks for the login, and of its own clients."""
    if login is None:
        return {}
    return {"PREFECT_SERVER_API_AUTH_STRING": login.pair} | for_prefect_client(login)


def for_prefect_client(login: Login | None) -> dict[str, str]:
    """Return the environment of a client of such a server."""
    return {} if login is None else {"PREFECT_API_AUTH_STRING": login.pair}


@contextmanager
def for_mlflow(login: Login | None) -> Iterator[dict[str, str]]:
    """Give the environment of an MLflow server that asks for the login; its users' database lives as long as the body.

    A database that stayed would keep the first password: MLflow reads the configured one only when it makes the user.
    Nothing is lost with it, as there is this one user.
    """
    if login is None:
        yield {}
        return
    # Readable by this user alone, as are all folders that tempfile makes.
    with tempfile.TemporaryDirectory(prefix="pkd-login-") as folder:
        config = Path(folder) / "basic_auth.ini"
        database = f"sqlite:///{Path(folder) / 'users.db'}".replace("%", "%%")
        lines = (
            "[mlflow]",
            "default_permission = NO_PERMISSIONS",
            f"database_uri = {database}",
            # Without its cache MLflow hashes the password anew for each of the dozens of requests that a page makes.
            "auth_cache_ttl_seconds = 3600",
        )
        config.write_text("\n".join(lines), encoding="utf-8")
        yield {
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_AUTH_ADMIN_USERNAME": login.name,
            "MLFLOW_AUTH_ADMIN_PASSWORD": login.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        }


def basic_authorization(pair: str | None) -> Mapping[str, str]:
    """Return the header by which a request logs in, if there is a login."""
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"} if pair else {}


def is_on_this_machine(url: str) -> bool:
    """Tell whether an address is a loopback one: the login is sent to no other."""
    return urlsplit(url).hostname in _LOOPBACK


def refuses(url: str, pair: str | None, seconds: float = 5.0) -> bool:
    """Tell whether an address answers that it wants a login, or another one than this."""
    request = urllib.request.Request(url, headers=dict(basic_authorization(pair)))
    try:
        urllib.request.urlopen(request, timeout=seconds).close()
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return False
