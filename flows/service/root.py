"""The folder to which a service's runs are bound: their workspace comes through Prefect's server, from anyone."""

import os
from pathlib import Path

from pkd_core.errors import ConfigError

ROOT_VARIABLE = "PKD_SERVICE_ROOT"


def check_below_root(folder: Path, what: str = "a workspace") -> None:
    """Check that a folder is the workspace that this process's service was started with, or below it.

    Links are followed.

    Args:
        folder: What a run is to write into.
        what: What it is, for the message.

    Raises:
        ConfigError: It is elsewhere.
    """
    given = os.environ.get(ROOT_VARIABLE)
    if given is None:
        return
    root = Path(given).resolve()
    if not folder.resolve().is_relative_to(root):
        shown = str(folder)[:200]
        raise ConfigError(
            f"this service needs {what} in {root}, with which `pkd up` was started, and got {shown}; "
            "start another service for it."
        )
