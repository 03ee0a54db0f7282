"""Garbage in a place that several machines share: stages to which no run refers, and attempts that were not published.

Whoever has a lease, or has written within three of its terms by the place's own clock, is taken to be alive.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from pkd_core.errors import HeldError
from pkd_core.places.lease import leased
from pkd_core.places.objects import Object, Objects
from pkd_core.store.address import AREAS, Address
from pkd_core.store.catalog import address_of
from pkd_core.store.garbage import Garbage, GarbageKind
from pkd_core.store.keys import StageKeys
from pkd_core.store.published import find_manifest
from pkd_core.store.shared_runs import SECONDS_ALIVE, place_time


def find_shared_garbage(place: Objects, kept: Collection[str]) -> Iterator[Garbage]:
    """Yield the garbage of a place, without what some machine is writing now.

    Args:
        place: The place.
        kept: Published folders that something refers to, with forward slashes.

    Raises:
        StoreError: The place cannot be reached.
    """
    now = place_time(place)
    for address, objects in _by_stage(place):
        keys = StageKeys(address)
        if _is_alive(place, objects, keys, now):
            continue
        manifest = find_manifest(place, address)
        if address.folder.as_posix() not in kept:
            kind = GarbageKind.UNFINISHED if manifest is None else GarbageKind.UNREFERENCED
            yield _garbage(keys.folder, objects, kind)
        elif manifest is not None:
            attempts = defaultdict(list)
            for one in objects:
                if one.key.startswith(keys.attempts):
                    attempts[one.key.removeprefix(keys.attempts).partition("/")[0]].append(one)
            for attempt, files in sorted(attempts.items()):
                if attempt != manifest.attempt:
                    yield _garbage(f"{keys.attempts}{attempt}/", files, GarbageKind.UNFINISHED)


def remove_shared(place: Objects, address: Address, prefix: str) -> bool:
    """Delete everything below a prefix of a stage, its manifest first; return False if some machine computes the stage.

    Raises:
        StoreError: The place cannot be reached; another call goes on from there.
    """
    keys = StageKeys(address)
    try:
        with leased(place, keys.leases, f"removing {address.folder}", wait=False):
            if prefix == keys.folder:
                place.delete(keys.manifest)
            for found in list(place.list(prefix)):
                if not found.key.startswith(keys.leases):
                    place.delete(found.key)
    except HeldError:
        return False
    if prefix == keys.folder:
        for found in list(place.list(keys.leases)):
            place.delete(found.key)
    return True


def _by_stage(place: Objects) -> Iterator[tuple[Address, list[Object]]]:
    for area in AREAS:
        stages: dict[Address, list[Object]] = defaultdict(list)
        for found in place.list(f"{area}/"):
            address = address_of(Path("/".join(found.key.split("/")[:3])))
            if address is not None and found.key.startswith(StageKeys(address).folder):
                stages[address].append(found)
        yield from stages.items()


def _is_alive(place: Objects, objects: Sequence[Object], keys: StageKeys, now: float) -> bool:
    """Return whether some machine may be computing a stage, or may have been cut off from its leases just now."""
    recent = [one.key for one in objects if now - one.modified <= SECONDS_ALIVE]
    if any(one.key == keys.manifest for one in objects):
        # What was published is nobody's work any more, unless somebody builds it again.
        recent = [key for key in recent if key.startswith(keys.leases)]
    return any(not (key.startswith(keys.leases) and _is_released(place, key)) for key in recent)


def _is_released(place: Objects, key: str) -> bool:
    found = place.read(key)
    try:
        return found is None or json.loads(found[0]).get("released") is True
    except (ValueError, AttributeError):
        return False


def _garbage(prefix: str, objects: Sequence[Object], kind: GarbageKind) -> Garbage:
    size, modified = sum(one.size for one in objects), max(one.modified for one in objects)
    return Garbage(Path(prefix), kind, size, modified, is_shared=True)
