"""Compares a published folder with its manifest."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pkd_core.errors import DamagedError, StoreError
from pkd_core.store.address import Address
from pkd_core.store.manifest import MANIFEST_NAME, Manifest, read_manifest
from pkd_core.store.os_errors import file_errors
from pkd_core.store.verification import verify_files


class StageStatus(StrEnum):
    """The state of a stage's published folder."""

    DONE = "done"
    MISSING = "missing"
    DAMAGED = "damaged"
    STALE = "stale"


@dataclass(frozen=True)
class Inspection:
    """A stage's status, the reason for it, and its manifest.

    Attributes:
        status: Only a folder that is DONE may be used.
        reason: A phrase for the user; empty when DONE.
        manifest: None if MISSING, or if DAMAGED so that the manifest cannot be read.
    """

    status: StageStatus
    reason: str = ""
    manifest: Manifest | None = None

    def against(self, inputs: Mapping[str, str]) -> "Inspection":
        """Return the same with the current digest of inputs, by name: STALE if it is DONE and one has changed.

        Inputs without a digest are not compared.
        """
        if self.status is StageStatus.DONE and self.manifest:
            for name, digest in sorted(inputs.items()):
                if self.manifest.inputs.get(name) != digest:
                    return replace(
                        self, status=StageStatus.STALE, reason=f"its input {name} has changed since"
                    )
        return self


def list_files(folder: Path) -> dict[str, int]:
    """Return the size in bytes of every file in `folder` but the manifest, by its relative path, sorted.

    Raises:
        StoreError: If a folder cannot be read, or holds something that is neither a plain file nor a folder.
    """
    sizes: dict[str, int] = {}
    folders = [folder]
    with file_errors("read", folder):
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    name = Path(entry.path).relative_to(folder).as_posix()
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        sizes[name] = entry.stat(follow_symlinks=False).st_size
                    else:
                        raise StoreError(f"{name} is neither a plain file nor a folder.")
    sizes.pop(MANIFEST_NAME, None)
    return dict(sorted(sizes.items()))


def inspect_folder(
    folder: Path, address: Address, inputs: Mapping[str, str] | None = None, deep: bool = False
) -> Inspection:
    """Compare a published folder with its manifest.

    Args:
        folder: The published folder.
        address: The stage that it should hold.
        inputs: Current digest of inputs, by name; inputs without one are not compared.
        deep: Also hash every file; otherwise only names and sizes are compared.
    """
    if not folder.is_dir():
        if os.path.lexists(folder):
            return Inspection(StageStatus.DAMAGED, "a file is where the folder should be")
        return Inspection(StageStatus.MISSING, "not built yet")
    try:
        manifest = read_manifest(folder)
        sizes = list_files(folder)
    except StoreError as error:
        return Inspection(StageStatus.DAMAGED, str(error).rstrip("."))
    verify = functools.partial(verify_files, folder) if deep else None
    return compare(manifest, sizes, address, verify).against(inputs or {})


def compare(
    manifest: Manifest,
    sizes: Mapping[str, int],
    address: Address,
    verify: Callable[[Manifest], None] | None,
) -> Inspection:
    """Compare a manifest with the files that are there.

    Args:
        manifest: The manifest.
        sizes: Size in bytes of each file that is there, by its name.
        address: The stage that it should describe.
        verify: Compares the bytes too; raises DamagedError.
    """
    damage = _wrong_address(manifest, address) or _wrong_files(manifest, sizes)
    if damage is None and verify:
        try:
            verify(manifest)
        except DamagedError as error:
            damage = str(error)
    if damage is not None:
        return Inspection(StageStatus.DAMAGED, damage, manifest)
    return Inspection(StageStatus.DONE, "", manifest)


def _wrong_address(manifest: Manifest, address: Address) -> str | None:
    stage = (manifest.task, manifest.stage, manifest.fingerprint)
    if stage == (address.task, address.stage, address.fingerprint):
        return None
    return f"{MANIFEST_NAME} belongs to another stage ({' '.join(stage)})"


def _wrong_files(manifest: Manifest, sizes: Mapping[str, int]) -> str | None:
    for entry in manifest.files:
        size = sizes.get(entry.name)
        if size is None:
            return f"{entry.name} is absent"
        if size != entry.size:
            return f"{entry.name} has {size} bytes where {entry.size} were published"
    foreign = sorted(sizes.keys() - {entry.name for entry in manifest.files})
    return f"{foreign[0]} does not belong there" if foreign else None
