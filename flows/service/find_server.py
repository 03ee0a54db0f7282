"""Finds the running Prefect server that a run is shown on, checks that it is one, and logs in to it."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import typer

from flows.service.listening import LOOPBACK
from flows.service.login import (
    VARIABLE,
    Login,
    basic_authorization,
    kept_login,
    prefect_client_environment,
    read_login,
)
from flows.service.up_record import read_record
from pkd_core.errors import ConfigError, PkdError

SERVER_URL = "http://127.0.0.1:4200/api"
_URL_VARIABLE, _LOGIN_VARIABLE = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"
_LOOPBACK = (*LOOPBACK, "::1")
_CLOUD = "https://api.prefect.cloud/"
_SECONDS = 5.0
_MAX_BYTES = 10_000
_MAX_SHOWN = 100


@dataclass(frozen=True)
class _Answer:
    status: int
    body: Any  # None where it is not JSON


def find_server(workspace: Path) -> str | None:
    """Return the API address of the running server to use, or None if the run needs a server of its own.

    The address is PREFECT_API_URL, or that of the `pkd up` that runs in the workspace, or its default. The login, where
    the server requires one, is added to the environment.

    Raises:
        PkdError: PREFECT_API_URL is no address or no Prefect server, or the server refuses the login that the user set.
    """
    record = read_record(workspace)
    ours = record.prefect_api if record and record.is_running() else None
    given = os.environ.get(_URL_VARIABLE)
    url = (given or ours or SERVER_URL).rstrip("/")
    if url.startswith(_CLOUD):
        return url  # Prefect's own client has the key for it
    # A login that this workspace's `pkd up` made is for its server alone.
    login = read_login() or (kept_login(workspace) if url == ours else None)
    try:
        with _network_errors(url):
            _check_is_prefect(url)
            return url if _logs_in(url, login, url == ours) else None
    except _NothingListensError:
        return None
    except ConfigError as error:
        if given:
            raise
        # The default port may well belong to another program.
        typer.echo(f"{error}: continuing without it")
        return None


class _NothingListensError(Exception):
    """Connections to the address are refused."""


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    """Turn what httpx raises in the body into a ConfigError, or into _NothingListensError."""
    import httpx

    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError):
        raise _not_prefect(f"{_shown(url)} is no address") from None
    except httpx.TimeoutException:
        raise _not_prefect(f"what listens at {_shown(url)} does not answer within {_SECONDS:.0f} s") from None
    except httpx.ConnectError as error:
        if any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error)):
            raise _NothingListensError from None
        raise _not_prefect(f"{_shown(url)} cannot be reached ({error})") from None
    except httpx.HTTPError:
        raise _not_prefect(f"what answers at {_shown(url)} is no Prefect server") from None


def _check_is_prefect(url: str) -> None:
    """Check that an address is a Prefect server's, of a version that Prefect's client accepts.

    Raises:
        ConfigError: It is not.
    """
    urlsplit(url).port  # noqa: B018  raises for a number that is no port's
    found = _get(f"{url}/health", None)
    if found.body is True:
        found = _get(f"{url}/admin/version", os.environ.get(_LOGIN_VARIABLE))
        if found.status == 401:
            return
    if not isinstance(found.body, str) or not re.match(r"\d+\.\d+", found.body):
        raise _not_prefect(f"what answers at {_shown(url)} is no Prefect server")
    ours = version("prefect")
    if found.body.split(".")[0] != ours.split(".")[0]:
        raise _not_prefect(
            f"the server at {_shown(url)} is Prefect {found.body[:20]}, the client Prefect {ours}"
        )


def _not_prefect(fact: str) -> ConfigError:
    given = os.environ.get(_URL_VARIABLE)
    if not given:
        return ConfigError(fact)
    return ConfigError(
        f"{_URL_VARIABLE} needs the address of a Prefect server's API, such as {SERVER_URL}, and {fact}; "
        "correct it, or unset it to run without that server."
    )


def _logs_in(url: str, login: Login | None, is_ours: bool) -> bool:
    """Log in to a server if it requires that; return False if the user has set neither a server nor a login.

    Args:
        url: Of its API.
        login: What to try where the user has set no PREFECT_API_AUTH_STRING.
        is_ours: Whether the `pkd up` of this workspace runs it, perhaps on an address for other machines.

    Raises:
        PkdError: It refuses the login that the user has set, or gets none.
    """
    protected = f"{url}/admin/version"  # like everything except /health
    if _get(protected, os.environ.get(_LOGIN_VARIABLE)).status != 401:
        return True
    # PKD_LOGIN is not sent to other machines; Prefect has its own settings for them.
    is_here = is_ours or urlsplit(url).hostname in _LOOPBACK
    if is_here and login and _get(protected, login.pair).status != 401:
        os.environ.update(prefect_client_environment(login))
        return True
    page = _shown(url.removesuffix("/api"))
    set_by_user = [name for name in (VARIABLE, _LOGIN_VARIABLE, _URL_VARIABLE) if os.environ.get(name)]
    if not set_by_user:
        # On a shared machine it may well belong to another user.
        typer.echo(
            f"the Prefect server at {page} requires a login, and {VARIABLE} is not set: continuing without it"
        )
        return False
    got = "none" if set_by_user == [_URL_VARIABLE] else "another"
    wanted = (
        f"{VARIABLE} to the one that its `pkd up` was started with" if is_here else f"{_LOGIN_VARIABLE} to it"
    )
    raise PkdError(
        f"the Prefect server at {page} needs its login, and got {got}; set {wanted}, or unset "
        f"{' and '.join(set_by_user)} to run without that server."
    )


def _get(url: str, login: str | None) -> _Answer:
    """Return what an address answers; reads no more than a Prefect server sends, and for some seconds at most."""
    import httpx

    deadline = time.monotonic() + _SECONDS
    headers = dict(basic_authorization(login))
    with httpx.Client(timeout=_SECONDS) as client, client.stream("GET", url, headers=headers) as response:
        content = b""
        for part in response.iter_bytes():
            content += part
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer does not end")
            if len(content) > _MAX_BYTES:
                break
    try:
        return _Answer(response.status_code, json.loads(content) if response.status_code == 200 else None)
    except ValueError:
        return _Answer(response.status_code, None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _shown(url: str) -> str:
    """Return an address for a message: short, and without the password that it may contain."""
    without_login = re.sub(r"//[^/]*@", "//", url)
    printable = "".join(one if one.isprintable() else "?" for one in without_login)
    return printable if len(printable) <= _MAX_SHOWN else f"{printable[:_MAX_SHOWN]}..."
