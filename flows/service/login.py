"""The login that the servers of `pkd up` require: read from PKD_LOGIN, passed to Prefect, MLflow and our requests."""

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
_PUBLIC_PASSWORD = "password1234"  # MLflow's earlier default, which it refuses
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Login:
    """A name and a password; its repr shows the name alone."""

    name: str
    password: str = field(repr=False)

    @property
    def pair(self) -> str:
        """name:password, the form of PKD_LOGIN, of Prefect's settings and of HTTP."""
        return f"{self.name}:{self.password}"


def read_login() -> Login | None:
    """Return the login of PKD_LOGIN, or None where it is not set.

    Raises:
        ConfigError: It is not `name:password`, or one of the servers would refuse the password; never shows it.
    """
    value = os.environ.get(VARIABLE, "")
    if not value:
        return None
    name, colon, password = value.partition(":")
    # Prefect compares logins as ASCII; forms and settings may lose control characters and outer spaces.
    if not colon or not name or not value.isascii() or not value.isprintable() or value != value.strip():
        raise ConfigError(
            f"{VARIABLE} needs the form name:password in plain ASCII, without spaces around it, and got another; "
            "correct it, or unset it to have no login."
        )
    if len(password) < _MIN_PASSWORD_LENGTH or password == _PUBLIC_PASSWORD:
        raise ConfigError(
            f"{VARIABLE} needs a password of {_MIN_PASSWORD_LENGTH} characters or more, and got a shorter one or "
            "MLflow's earlier default; set another, or unset it to have no login."
        )
    return Login(name, password)


def prefect_server_environment(login: Login | None) -> dict[str, str]:
    """Return the environment of a Prefect server that requires the login; its own clients send it."""
    if login is None:
        return {}
    return {"PREFECT_SERVER_API_AUTH_STRING": login.pair} | prefect_client_environment(login)


def prefect_client_environment(login: Login | None) -> dict[str, str]:
    """Return the environment of a client of such a server."""
    return {} if login is None else {"PREFECT_API_AUTH_STRING": login.pair}


@contextmanager
def mlflow_environment(login: Login | None) -> Iterator[dict[str, str]]:
    """Yield the environment of an MLflow server that requires the login; its user database exists while the body runs.

    A database that outlived the server would keep the first password: MLflow reads the configured one only when it
    creates the user. Nothing is lost with it, as there is this one user.
    """
    if login is None:
        yield {}
        return
    # tempfile creates folders that this user alone can read.
    with tempfile.TemporaryDirectory(prefix="pkd-login-") as folder:
        config = Path(folder) / "basic_auth.ini"
        database = f"sqlite:///{Path(folder) / 'users.db'}".replace("%", "%%")
        lines = (
            "[mlflow]",
            "default_permission = NO_PERMISSIONS",
            f"database_uri = {database}",
            # Without its cache MLflow hashes the password for each of the dozens of requests of a page.
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
    """Return the header that logs a request in, or none without a login."""
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"} if pair else {}


def is_loopback(url: str) -> bool:
    """Return whether an address is on this machine: the login is sent to no other."""
    return urlsplit(url).hostname in _LOOPBACK


def refuses(url: str, pair: str | None, seconds: float = 5.0) -> bool:
    """Return whether an address answers that it requires a login, or another one than this."""
    request = urllib.request.Request(url, headers=dict(basic_authorization(pair)))
    try:
        urllib.request.urlopen(request, timeout=seconds).close()
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return False
