"""Checks, before anything runs, that this process may use what every run needs."""

import resource
from dataclasses import dataclass
from pathlib import Path

from pkd_core.errors import ResourceError
from pkd_core.store.os_errors import check_disk_space

# Prefect's database with its journal takes 6 MB for a small run, MLflow's 1 MB; models and teacher states are checked
# where they are written.
_DATABASE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class _Need:
    """A limit of the operating system: how much of it a run needs, and how it is shown and raised."""

    limit: int
    least: int
    name: str
    unit: int
    option: str


# A run of small models holds 50 files open, and maps 3.5 GB: the libraries, and a stack for each thread.
_NEEDS = (
    _Need(resource.RLIMIT_NOFILE, 128, "open files", 1, "ulimit -n"),
    _Need(resource.RLIMIT_FSIZE, _DATABASE_BYTES, "MB in one file", 2**20, "ulimit -f"),
    _Need(resource.RLIMIT_AS, 4 * 2**30, "MB of address space", 2**20, "ulimit -v"),
)


def check_limits() -> None:
    """Check the operating system's limits of this process: below them, libraries crash without a message.

    Raises:
        ResourceError: A limit is too low; names it, what is needed and what is allowed.
    """
    for need in _NEEDS:
        allowed, _ = resource.getrlimit(need.limit)
        if allowed != resource.RLIM_INFINITY and allowed < need.least:
            raise ResourceError(
                f"a run needs {need.least // need.unit} {need.name}, and this process may use {allowed // need.unit}: "
                f"raise the limit ({need.option})."
            )


def check_disk(folder: Path) -> None:
    """Check that the databases of Prefect and MLflow fit on the disk; else Prefect's server does not start.

    Raises:
        StoreError: They do not; names how much is needed and how much is free.
    """
    check_disk_space(
        folder, _DATABASE_BYTES, "the databases of Prefect and MLflow", "free some and run again"
    )
