"""What stands published in a shared place: inspected, published once, and withdrawn when it is damaged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pkd_core.errors import LostError, StoreError
from pkd_core.places.first_writer import create_or_read
from pkd_core.places.objects import Objects
from pkd_core.store.address import Address
from pkd_core.store.attempt import Attempt
from pkd_core.store.fetching import file_sizes, verify_published
from pkd_core.store.inspection import Inspection, StageStatus, compare
from pkd_core.store.keys import StageKeys
from pkd_core.store.manifest import Manifest
from pkd_core.store.work_folder import resume_folder

# Stands in place of the manifest of a damaged stage: an object can be replaced by its tag, but not deleted by it.
WITHDRAWN = b"{}\n"


def find_manifest(place: Objects, address: Address) -> Manifest | None:
    """Return the manifest of a published stage; None if there is none.

    Raises:
        StoreError: It is not a manifest, or the place cannot be reached.
    """
    standing = place.read(StageKeys(address).manifest)
    if standing is None or standing[0] == WITHDRAWN:
        return None
    return Manifest.from_bytes(standing[0])


def inspect_published(
    place: Objects, address: Address, verify: Callable[[Manifest], None] | None = None
) -> Inspection:
    """Compare what a stage has in the place with its manifest there: two requests.

    Args:
        place: The place.
        address: The stage.
        verify: Compares the bytes too; raises DamagedError.

    Raises:
        StoreError: The place cannot be reached.
    """
    keys = StageKeys(address)
    standing = place.read(keys.manifest)
    if standing is None:
        return Inspection(StageStatus.MISSING, "not built yet")
    if standing[0] == WITHDRAWN:
        return Inspection(StageStatus.MISSING, "it was damaged, and withdrawn")
    try:
        manifest = Manifest.from_bytes(standing[0])
    except StoreError as error:
        return Inspection(StageStatus.DAMAGED, str(error).rstrip("."))
    return compare(manifest, file_sizes(place, keys, manifest.attempt), address, verify)


def publish_attempt(place: Objects, workspace: Path, address: Address, manifest: Manifest) -> Manifest:
    """Send the files of a work folder, and then create the manifest in the place, which only one attempt can.

    Args:
        place: The place.
        workspace: The workspace that is attached to it.
        address: The stage.
        manifest: What its work folder holds.

    Returns:
        The manifest that stands in the place.

    Raises:
        LostError: Another attempt has published the stage, from the same inputs.
        StoreError: The place cannot be reached; another process can go on from there.
        OSError: The disk refuses.
    """
    work = workspace / address.work_folder
    keys, attempt = StageKeys(address), Attempt.open(place, resume_folder(work))
    manifest = replace(manifest, attempt=attempt.id)
    sent = [key for key in attempt.sent if key.startswith(keys.files(attempt.id))]
    if sent and (standing := place.read(keys.manifest)) is not None and standing[0] == WITHDRAWN:
        # It may be these files that were found damaged.
        attempt.forget(sent)
    _send_files(attempt, keys, work, manifest)
    content = manifest.to_bytes()
    if create_or_read(place, keys.manifest, content) != content:
        manifest = _take_over(place, workspace, address, manifest)
    if checkpoint := [key for key in attempt.sent if key.startswith(keys.checkpoint(attempt.id))]:
        attempt.delete([keys.pointer(attempt.id), *checkpoint])
    return manifest


def withdraw_damaged(place: Objects, workspace: Path, address: Address) -> str | None:
    """Download a published stage, and withdraw it if it is damaged, so that it is built again.

    Returns:
        Where the damaged files are; None if it is not damaged.

    Raises:
        StoreError: The place cannot be reached.
    """
    keys = StageKeys(address)
    standing = place.read(keys.manifest)
    inspection = inspect_published(
        place, address, verify=lambda manifest: verify_published(place, workspace, address, manifest)
    )
    if standing is None or inspection.status is not StageStatus.DAMAGED:
        return None
    # If it has another tag by now, somebody has built it again.
    place.replace(keys.manifest, WITHDRAWN, standing[1])
    return f"{place.url}/{keys.attempts}{inspection.manifest.attempt if inspection.manifest else ''}"


def _send_files(attempt: Attempt, keys: StageKeys, work: Path, manifest: Manifest) -> None:
    """Send the files that are not in the place yet, and delete what does not belong there."""
    prefix = keys.files(attempt.id)
    there = file_sizes(attempt.place, keys, attempt.id)
    wanted = {entry.name: entry.size for entry in manifest.files}
    attempt.delete([prefix + name for name in there.keys() - wanted.keys()])
    attempt.forget([prefix + name for name, size in wanted.items() if there.get(name) != size])
    for entry in manifest.files:
        attempt.send(work / entry.name, prefix + entry.name, entry.xxh3)


def _take_over(place: Objects, workspace: Path, address: Address, manifest: Manifest) -> Manifest:
    """Replace what stands at a stage's manifest if it is not whole, or was made from other inputs."""
    keys = StageKeys(address)
    while True:
        standing = place.read(keys.manifest)
        if standing is None:
            is_written = place.create(keys.manifest, manifest.to_bytes())
        elif own := _same_attempt(standing[0], manifest):
            return own
        else:
            inspection = inspect_published(
                place, address, lambda other: verify_published(place, workspace, address, other)
            )
            if inspection.against(manifest.inputs).status is StageStatus.DONE:
                raise LostError(
                    f"{address.task} {address.stage} was published by another process; its result is used, run again "
                    "to get it."
                )
            is_written = place.replace(keys.manifest, manifest.to_bytes(), standing[1])
        if is_written:
            return manifest


def _same_attempt(content: bytes, manifest: Manifest) -> Manifest | None:
    """Return the manifest that stands in the place if this attempt has written it, and its answer was lost."""
    if content == WITHDRAWN:
        return None
    try:
        standing = Manifest.from_bytes(content)
    except StoreError:
        return None
    is_own = (standing.attempt, standing.files) == (manifest.attempt, manifest.files)
    return standing if is_own else None
