"""How a bucket of an object store is reached: settings from the environment, limits, and errors as sentences."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from pkd_core.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from obstore.store import S3Store

T = TypeVar("T")

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
# Of one request with its body, four of which may share a line: 5 MiB each, so a line of 0.7 MB/s is quick enough.
_REQUEST_TIME = timedelta(seconds=30)
_CONNECT_TIME = timedelta(seconds=5)
# Tries of the same request begin within this time.
_RETRY_TIME = timedelta(seconds=45)
_MAX_RETRIES = 6
_LONGEST_PAUSE = timedelta(seconds=4)

# obstore has tried again, or the server has answered that it will not.
_GIVEN_UP = re.compile(r"after \d+ retries|status code: 4\d\d")
_STATUS = re.compile(r"status code: (\d{3})\b")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_KEYS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do"
_ADVICE = {
    "NoSuchBucket": "create the bucket, or correct its name",
    "301": "set AWS_REGION to the bucket's region",
    "401": _KEYS,
    "403": _KEYS,
}
# Parts of obstore's messages, the telling ones first.
_ANSWERS = {
    # Without any, obstore asks the machine for those of its role.
    "169.254.169.254": ("there are no credentials", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    "redirect without LOCATION": ("the bucket is in another region", _ADVICE["301"]),
    "kind: Connect": ("the server cannot be reached", "check AWS_ENDPOINT_URL and the network"),
    "kind: Timeout": ("the server does not answer in time", "check the network and run again"),
}


def endpoint() -> str | None:
    """Return the address of the object store that the environment names; None for Amazon's own.

    Raises:
        ConfigError: If it is no http or https address, or holds a login.
    """
    variable = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    if variable is None:
        return None
    address = os.environ[variable]
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        is_address = False
    if not is_address:  # not quoted: it may hold a login
        raise ConfigError(f"{variable} must be an address such as https://host:port, without a login in it.")
    return address


def open_bucket(bucket: str, prefix: str) -> "S3Store":
    """Return obstore's bucket; no request is made.

    Credentials, region and endpoint come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_SESSION_TOKEN, AWS_REGION and AWS_ENDPOINT_URL, or the role of the machine or container. An endpoint without
    encryption is used only if the environment names it.

    Raises:
        ConfigError: If obstore is not installed, or the environment holds what cannot be used.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError as error:
        raise ConfigError(
            "a workspace in an object store needs the package obstore: pip install 'pkd[s3]'."
        ) from error
    address = endpoint()
    try:
        return S3Store(
            bucket,
            prefix=prefix or None,
            disable_bulk_delete=True,  # not every server has it
            client_options={
                "allow_http": (address or "").startswith("http://"),
                "timeout": _REQUEST_TIME,
                "connect_timeout": _CONNECT_TIME,
            },
            retry_config={
                "max_retries": _MAX_RETRIES,
                "retry_timeout": _RETRY_TIME,
                "backoff": {"max_backoff": _LONGEST_PAUSE},
            },
        )
    except (BaseError, ValueError) as error:
        # Its message may quote the variable.
        raise ConfigError(
            "an AWS_ variable of the environment cannot be used: check them one by one."
        ) from error


@contextmanager
def server_errors(need: str, url: str) -> Iterator[None]:
    """Turn obstore's errors into a StoreError, without what they quote.

    The errors of conditional writes pass.

    Args:
        need: What the body needs to do, such as "read a/b".
        url: The place.

    Raises:
        StoreError: With the server's answer and what to do.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

    try:
        yield
    except (AlreadyExistsError, PreconditionError):
        raise
    except (BaseError, FileNotFoundError) as error:
        raise _store_error(need, url, str(error)) from error


def whole_answer(ask: Callable[[], T]) -> T:
    """Return the answer to a request that reads; ask again where one breaks off, which obstore leaves to its caller."""
    from obstore.exceptions import BaseError

    for _ in range(_MAX_RETRIES):
        try:
            return ask()
        except BaseError as error:
            if _GIVEN_UP.search(str(error)):
                raise
    return ask()


def is_no_bucket(error: FileNotFoundError) -> bool:
    """Return whether the whole bucket is absent, and not only an object."""
    return "NoSuchBucket" in str(error)


def _store_error(need: str, url: str, message: str) -> StoreError:
    status, code = _STATUS.search(message), _CODE.search(message)
    known = next((answer for part, answer in _ANSWERS.items() if part in message), None)
    if known:
        answer, advice = known
    elif status:
        names = [status[1], *([code[1]] if code else [])]
        answer = f"the server answers {' '.join(names)}"
        advice = next((_ADVICE[name] for name in reversed(names) if name in _ADVICE), "try again later")
    else:
        answer, advice = "the connection breaks", "check the network and run again"
    return StoreError(f"pkd needs to {need} in {url}, but {answer}: {advice} (what is finished is kept).")
