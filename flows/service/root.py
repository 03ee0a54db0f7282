"""The folder to which a service's runs are bound: their workspace comes through Prefect's server, from anyone."""

import os
from pathlib import Path

from pkd_core.errors import ConfigError

ROOT_VARIABLE = "PKD_SERVICE_ROOT"


def check_below_root(workspace: Path) -> None:
    """Check that a workspace is the one that this process's service was started with, or below it; links are followed.

    Raises:
        ConfigError: It is elsewhere.
    """
    given = os.environ.get(ROOT_VARIABLE)
    if given is None:
        return
    root = Path(given).resolve()
    if not workspace.resolve().is_relative_to(root):
        shown = str(workspace)[:200]
        raise ConfigError(
            f"this service needs a workspace in {root}, with which `pkd up` was started, and got {shown}; "
            "start another service for it."
        )
