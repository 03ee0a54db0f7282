"""The login that the servers require: from PKD_LOGIN, a file or chance; passed to Prefect, MLflow and our requests."""

import os
import secrets
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pkd_core.errors import ConfigError
from pkd_core.store.atomic import durable_rename
from pkd_core.store.os_errors import file_errors

VARIABLE = "PKD_LOGIN"
_MIN_PASSWORD_LENGTH = 12  # MLflow's own rule
_PUBLIC_PASSWORD = "password1234"  # MLflow's earlier default, which it refuses


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
    return _parse(value) if value else None


def random_login() -> Login:
    """Return a login that nobody can guess."""
    return Login("pkd", secrets.token_urlsafe(24))


def kept_login_path(workspace: Path) -> Path:
    """Return the path of the file with the login that `pkd up` makes where PKD_LOGIN is not set."""
    return workspace.resolve() / "artifacts" / "login"


def kept_login(workspace: Path) -> Login | None:
    """Return the login that an earlier `pkd up` made, or None if there is none that only this user could read."""
    path = kept_login_path(workspace)
    try:
        if path.stat().st_mode & 0o077:
            return None
        return _parse(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError, ConfigError):
        return None


def keep_new_login(workspace: Path) -> Login:
    """Make a login, and write it to a file that only this user can read, as it is created.

    Raises:
        StoreError: The file cannot be written.
    """
    login, path = random_login(), kept_login_path(workspace)
    with file_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # tempfile creates files that this user alone can read.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix="login.", delete=False) as file:
            file.write(f"{login.pair}\n")
        durable_rename(Path(file.name), path)
    return login


def _parse(value: str) -> Login:
    name, colon, password = value.partition(":")
    # Prefect compares logins as ASCII; forms and settings may lose control characters and outer spaces.
    if not colon or not name or not value.isascii() or not value.isprintable() or value != value.strip():
        raise ConfigError(
            f"{VARIABLE} needs the form name:password in plain ASCII, without spaces around it, and got another; "
            "correct it, or unset it to use the login that `pkd up` makes."
        )
    if len(password) < _MIN_PASSWORD_LENGTH or password == _PUBLIC_PASSWORD:
        raise ConfigError(
            f"{VARIABLE} needs a password of {_MIN_PASSWORD_LENGTH} characters or more, and got a shorter one or "
            "MLflow's earlier default; set another, or unset it to use the login that `pkd up` makes."
        )
    return Login(name, password)


def prefect_server_environment(login: Login) -> dict[str, str]:
    """Return the environment of a Prefect server that requires the login; its own clients send it."""
    return {"PREFECT_SERVER_API_AUTH_STRING": login.pair} | prefect_client_environment(login)


def prefect_client_environment(login: Login) -> dict[str, str]:
    """Return the environment of a client of such a server."""
    return {"PREFECT_API_AUTH_STRING": login.pair}


def mlflow_client_environment(url: str, login: Login) -> dict[str, str]:
    """Return the environment of a client of an MLflow server that requires the login."""
    return {
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_TRACKING_USERNAME": login.name,
        "MLFLOW_TRACKING_PASSWORD": login.password,
    }


@contextmanager
def mlflow_environment(login: Login) -> Iterator[dict[str, str]]:
    """Yield the environment of an MLflow server that requires the login; its user database exists while the body runs.

    A database that outlived the server would keep the first password: MLflow reads the configured one only when it
    creates the user. Nothing is lost with it, as there is this one user.
    """
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
