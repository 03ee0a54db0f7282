"""What a workspace has published, wherever its files are: on this machine, or in a place that machines share."""

import re
from collections.abc import Iterator
from pathlib import Path

from pkd_core.errors import StoreError
from pkd_core.places.objects import Objects
from pkd_core.store.address import AREAS, Address
from pkd_core.store.attached import place_of
from pkd_core.store.manifest import MANIFEST_NAME, Manifest, read_manifest
from pkd_core.store.published import WITHDRAWN, find_manifest
from pkd_core.store.stage_store import StageStore

_PUBLISHED = re.compile(r"(?P<stage>[A-Za-z0-9_][A-Za-z0-9._-]*)-(?P<fingerprint>[0-9a-f]{16})")


class Catalog:
    """The stages that a workspace has published; those of a task are listed once, when they are first asked for.

    Args:
        workspace: The workspace.

    Raises:
        StoreError: The place that it belongs to cannot be used.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._place = place_of(workspace)
        self._listed: dict[Path, list[Address]] = {}
        self._manifests: dict[Address, Manifest | None] = {}

    def addresses(self) -> Iterator[Address]:
        """Yield the address of every folder that has a published stage's name, sorted by area, task and name.

        Raises:
            StoreError: The place cannot be reached.
        """
        if self._place is None:
            yield from local_addresses(self._workspace)
            return
        for area in AREAS:
            for name in _listed(self._place, area):
                if address := address_of(self._workspace / name):
                    yield address

    def find(self, area: str, task: str, stage: str) -> Iterator[tuple[Path, Manifest]]:
        """Yield the folder and the manifest of a stage, whatever its fingerprint; unreadable ones are left out.

        Raises:
            StoreError: The place cannot be reached.
        """
        parent = self._workspace / area / task
        if self._place is None:
            for folder in sorted(parent.glob(f"{stage}-{'[0-9a-f]' * 16}")):
                try:
                    yield folder, read_manifest(folder)
                except StoreError:
                    continue
            return
        if parent not in self._listed:
            names = _listed(self._place, f"{area}/{task}")
            self._listed[parent] = [*filter(None, (address_of(self._workspace / name) for name in names))]
        for address in self._listed[parent]:
            if address.stage == stage and (manifest := self._manifest(self._place, address)) is not None:
                yield self._workspace / address.folder, manifest

    def _manifest(self, place: Objects, address: Address) -> Manifest | None:
        if address not in self._manifests:
            try:
                self._manifests[address] = find_manifest(place, address)
            except StoreError:
                self._manifests[address] = None
        return self._manifests[address]


def local_addresses(workspace: Path) -> Iterator[Address]:
    """Yield the address of every folder on this machine that has a published stage's name, sorted as in a catalog."""
    for area in AREAS:
        yield from filter(None, map(address_of, sorted((workspace / area).glob("*/*"))))


def address_of(folder: Path) -> Address | None:
    """Return the address of a folder that has a published stage's name and place in a workspace, else None."""
    if len(folder.parts) < 3:
        return None
    area, task, name = folder.parts[-3:]
    match = _PUBLISHED.fullmatch(name)
    found = next((one for one in AREAS if one == area), None)
    if match is None or found is None or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", task):
        return None
    return Address(found, task, match["stage"], match["fingerprint"])


def published_manifest(folder: Path) -> Manifest:
    """Return the manifest of a published folder, which a shared workspace need not have on this machine.

    Raises:
        StoreError: There is none, or it cannot be read.
    """
    address, place = _shared(folder)
    if address is None or place is None:
        return read_manifest(folder)
    manifest = find_manifest(place, address)
    if manifest is None:
        raise StoreError(f"{address.folder} is not in {place.url} any more.")
    return manifest


def local_copy(folder: Path) -> Path:
    """Return a published folder with its files on this machine: that of a shared workspace is fetched.

    Raises:
        StoreError: It is gone or damaged, or the place cannot be reached.
    """
    address, place = _shared(folder)
    if address is None or place is None:
        return folder
    return StageStore(folder.parents[2]).fetch(address)


def _shared(folder: Path) -> tuple[Address | None, Objects | None]:
    """Return a published folder's address, and the place of its workspace if several machines share it."""
    address = address_of(folder)
    return address, None if address is None else place_of(folder.parents[2])


def _listed(place: Objects, prefix: str) -> list[str]:
    """Return the published folders in a place whose manifest is below a prefix, sorted."""
    ending = f"/{MANIFEST_NAME}"
    return [
        found.key.removesuffix(ending)
        for found in place.list(f"{prefix}/")
        if found.key.count("/") == 3 and found.key.endswith(ending) and found.size != len(WITHDRAWN)
    ]
