"""What an attached workspace does in its place, where the stages of all machines stand."""

import functools
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pkd_core.errors import StoreError
from pkd_core.places.at_once import at_once
from pkd_core.places.lease import Lease, leased, local_owner
from pkd_core.places.objects import Objects
from pkd_core.store.address import Address
from pkd_core.store.attached import place_of
from pkd_core.store.checkpoint_copy import restore_checkpoint, send_checkpoint
from pkd_core.store.fetching import copy_lock, fetch, verify_published
from pkd_core.store.inspection import Inspection
from pkd_core.store.keys import StageKeys
from pkd_core.store.manifest import Manifest
from pkd_core.store.published import find_manifest, inspect_published, publish_attempt, withdraw_damaged
from pkd_core.store.publishing import move_to_backup, publish_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SharedStages:
    """The stages of a place, for a workspace that is attached to it.

    Attributes:
        place: The place.
        workspace: The local folder: copies of what the place holds, and what this machine computes.
    """

    place: Objects
    workspace: Path
    _leases: dict[Address, Lease] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, workspace: Path) -> "SharedStages | None":
        """Return those of a workspace's place; None for a workspace of one machine alone."""
        place = place_of(workspace)
        return None if place is None else cls(place, workspace)

    def inspect(self, address: Address, deep: bool) -> Inspection:
        """Return whether a stage is whole in the place: two requests, and a download if `deep`."""
        verify = functools.partial(verify_published, self.place, self.workspace, address)
        return inspect_published(self.place, address, verify if deep else None)

    def inspect_all(self, addresses: Collection[Address], deep: bool) -> dict[Address, Inspection]:
        """Inspect many stages, several at once: each waits for the place's answers."""
        found = at_once(functools.partial(self.inspect, deep=deep), addresses)
        return dict(zip(addresses, found, strict=True))

    def find_manifest(self, address: Address) -> Manifest | None:
        """Return the manifest of a published stage; None if there is none."""
        return find_manifest(self.place, address)

    def fetch(self, address: Address) -> Path:
        """Return the local copy of a published stage, downloading it if it is not here."""
        manifest = self.find_manifest(address)
        if manifest is None:
            raise StoreError(f"{address.folder} is needed from {self.place.url}, and is gone; run again.")
        return fetch(self.place, self.workspace, address, manifest)

    @contextmanager
    def leased(self, address: Address, wait: bool) -> Iterator[None]:
        """Hold a stage's lease while the body runs; its local lock is held."""
        prefix, purpose = StageKeys(address).leases, f"{address.task} {address.stage}"
        with leased(self.place, prefix, purpose, wait, owner=local_owner(self.workspace)) as lease:
            self._leases[address] = lease
            try:
                yield
            finally:
                del self._leases[address]

    def check_held(self, address: Address) -> None:
        """Raise LostError if another machine has taken a stage over."""
        if lease := self._leases.get(address):
            lease.check()

    def restore(self, address: Address, work: Path) -> None:
        """Put the newest checkpoint in the place into a work folder and its resume folder, if they have none newer."""
        restore_checkpoint(self.place, address, work)

    def keep(self, address: Address, work: Path) -> None:
        """Send what a stage would continue from; if the place cannot be reached, the next checkpoint is sent."""
        try:
            send_checkpoint(self.place, address, work)
        except StoreError as error:
            logger.warning("%s %s: no checkpoint was sent: %s", address.task, address.stage, error)

    def publish(self, address: Address, work: Path, manifest: Manifest) -> Manifest:
        """Publish a work folder in the place, then make it the local copy; return the manifest that stands."""
        manifest = publish_attempt(self.place, self.workspace, address, manifest)
        with copy_lock(self.workspace, address):
            publish_folder(
                work, self.workspace / address.folder, self.workspace / address.backup_folder, manifest
            )
        return manifest

    def set_aside(self, address: Address) -> str:
        """Move a local copy to the backups, and withdraw the stage from the place if it is damaged there, too.

        Returns:
            Where the damaged files are.
        """
        final = self.workspace / address.folder
        aside = f"{self.place.url}/{address.folder.as_posix()}"
        with copy_lock(self.workspace, address):
            if final.exists():
                aside = str(move_to_backup(final, self.workspace / address.backup_folder))
        return withdraw_damaged(self.place, self.workspace, address) or aside
