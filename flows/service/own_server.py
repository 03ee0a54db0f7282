"""The Prefect server of one `pkd run`: starts it with a login of its own, and ends with the run."""

import atexit
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.environment import bypass_proxies, environment
from flows.service.listening import HERE, Listening
from flows.service.login import prefect_client_environment, random_login
from flows.service.prefect_database import alone_at_start
from flows.service.processes import is_free, launch, stop, wait_until_ready
from flows.service.services import prefect_api, temporary_prefect_service
from pkd_core.errors import PkdError

# Below the ports that Linux gives to outgoing connections, and above those that people choose for servers.
_PORTS = range(20_000, 32_768)


@contextmanager
def own_server(
    logs: Path, meanwhile: Callable[[], None] | None = None, listening: Listening = HERE
) -> Iterator[str]:
    """Start a Prefect server, and let Prefect use it while the body runs.

    It stops when this process ends, in whatever way: after the body, Prefect may still send its last log lines.

    Args:
        logs: Folder for its log.
        meanwhile: Called while the server starts.
        listening: Where it listens.

    Yields:
        The address of its API.

    Raises:
        PkdError: It does not start; names its log.
        StoreError: Prefect's folder or the log cannot be written, or the disk is too full for a server's database.
    """
    home = Path(os.environ["PREFECT_HOME"])
    login, port = random_login(), _free_port()
    bypass_proxies([listening.from_here])
    service, api = temporary_prefect_service(port, login, listening), prefect_api(port, listening.from_here)
    # It has no pages, to which Prefect would print an address.
    variables = {"PREFECT_API_URL": api, "PREFECT_UI_URL": ""} | prefect_client_environment(login)
    with environment(variables):
        with alone_at_start(home):
            process = launch(service, logs)
            atexit.register(stop, process)
            if meanwhile is not None:
                meanwhile()
            try:
                wait_until_ready(service, process, logs, threading.Event())
            except PkdError as error:
                raise PkdError(f"{str(error).removesuffix('.')}; {_check_disk_sentence()}.") from error
        from prefect import settings

        # Prefect reads the environment when it is imported, which a program that uses pkd may have done before.
        with settings.temporary_settings(
            {getattr(settings, name): value for name, value in variables.items()}
        ):
            yield api


def server_sentence(error: Exception) -> str:
    """Return the sentence for a run that Prefect's server failed."""
    return (
        f"Prefect's server failed the run ({type(error).__name__}): {_check_disk_sentence()}; "
        "with PREFECT_SERVER_LOGGING_LEVEL=ERROR the server's own messages are in artifacts/logs"
    )


def _check_disk_sentence() -> str:
    return (
        f"check that the disk of {os.environ['PREFECT_HOME']} has free space and can be written, and run again "
        "(what is finished is kept)"
    )


def _free_port() -> int:
    return next(port for port in random.sample(_PORTS, len(_PORTS)) if is_free(port))
