"""Verifies everything that a workspace has published."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pkd_core.store.address import Address
from pkd_core.store.attached import place_of
from pkd_core.store.catalog import Catalog
from pkd_core.store.fetching import verify_published
from pkd_core.store.inspection import Inspection, inspect_folder
from pkd_core.store.published import inspect_published


@dataclass(frozen=True)
class Verified:
    """The result of hashing every byte of a published folder.

    Attributes:
        folder: Relative to the workspace.
        inspection: The folder's status.
        num_bytes: Size of its files according to its manifest; 0 if that cannot be read.
    """

    folder: Path
    inspection: Inspection
    num_bytes: int


def verify_all(workspace: Path) -> Iterator[Verified]:
    """Hash every published file, and compare it with its manifest; where machines share a workspace, in their place.

    Raises:
        StoreError: The place cannot be reached.
    """
    for address in Catalog(workspace).addresses():
        inspection = _inspect(workspace, address)
        files = inspection.manifest.files if inspection.manifest else ()
        yield Verified(address.folder, inspection, sum(entry.size for entry in files))


def _inspect(workspace: Path, address: Address) -> Inspection:
    place, folder = place_of(workspace), workspace / address.folder
    if place is None:
        return inspect_folder(folder, address, deep=True)
    has_copy = folder.exists()
    inspection = inspect_published(
        place, address, verify=lambda manifest: verify_published(place, workspace, address, manifest)
    )
    if not has_copy:
        # A look at everything is no reason to keep everything.
        shutil.rmtree(folder, ignore_errors=True)
    return inspection
