"""Finds and verifies everything that a workspace has published."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pkd_core.store.address import AREAS, Address
from pkd_core.store.inspection import Inspection, inspect_folder

_PUBLISHED = re.compile(r"(?P<stage>[A-Za-z0-9_][A-Za-z0-9._-]*)-(?P<fingerprint>[0-9a-f]{16})")


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


def published_addresses(workspace: Path) -> Iterator[Address]:
    """Yield the address of every folder that has a published stage's name, sorted by area, task and name."""
    for area in AREAS:
        for folder in sorted((workspace / area).glob("*/*")):
            match = _PUBLISHED.fullmatch(folder.name)
            if match and not folder.parent.name.startswith("."):
                yield Address(area, folder.parent.name, match["stage"], match["fingerprint"])


def verify_all(workspace: Path) -> Iterator[Verified]:
    """Hash every published file, and compare it with its manifest."""
    for address in published_addresses(workspace):
        inspection = inspect_folder(workspace / address.folder, address, deep=True)
        files = inspection.manifest.files if inspection.manifest else ()
        yield Verified(address.folder, inspection, sum(entry.size for entry in files))
