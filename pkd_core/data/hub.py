"""Data sets of the Hugging Face hub, as tables."""

import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from pkd_core.errors import DataError

# (data set, configuration) -> tables by the hub's split names.
Load = Callable[[str, str], Mapping[str, Any]]

_REMEDY = "put the data's own files into data_raw"
_TIMEOUT_SECONDS = 10


def load_from_hub(name: str, config: str) -> Mapping[str, Any]:
    """Return a data set's tables by the hub's split names.

    Args:
        name: The data set's name on the hub.
        config: Its configuration.

    Raises:
        DataError: The package datasets is missing, or the hub does not answer or has no such data set.
    """
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise DataError(
            f"downloading {name} needs the package datasets, which this environment does not have; install it, or "
            f"{_REMEDY}"
        ) from error
    try:
        _check_connection()
        tables: Mapping[str, Any] = datasets.load_dataset(name, config)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{name} {config}: expected an answer from the Hugging Face hub, got {type(error).__name__};"
            f" connect to the network without HF_HUB_OFFLINE, or {_REMEDY}"
        ) from error
    return tables


def _check_connection() -> None:
    """Raise OSError at once if the hub is unreachable: `datasets` retries for half a minute, with log lines.

    With HF_HUB_OFFLINE, `datasets` reads its cache only, so nothing is checked.
    """
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):
            pass  # any response proves the connection
