"""The stage store: results of stages in folders whose names depend on what they were built from."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pkd_core.errors import HeldError, LostError, StoreError
from pkd_core.store.address import Address, StageRecord
from pkd_core.store.inspection import Inspection, StageStatus, inspect_folder
from pkd_core.store.lock import hold
from pkd_core.store.manifest import Manifest, read_manifest
from pkd_core.store.os_errors import disk_errors, file_errors
from pkd_core.store.publishing import hash_files, move_to_backup, publish_folder
from pkd_core.store.shared_stages import SharedStages
from pkd_core.store.work_folder import discard_resume, discard_work, lock_file, prepare_work, tidy_work

__all__ = ["Address", "Inspection", "StageStatus", "StageStore"]


@dataclass(frozen=True)
class StageStore:
    """The published stages of one workspace.

    If the workspace is attached to a place that several machines share, what stands there is published; the local
    folder holds copies, and what this machine computes. Every method may then raise StoreError because the place
    cannot be reached.

    Attributes:
        workspace: Folder that holds `data_feat` and `artifacts`; created by the first write.

    Raises:
        StoreError: If `workspace` is a file, or its place cannot be reached.
    """

    workspace: Path
    _shared: SharedStages | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.workspace.exists() and not self.workspace.is_dir():
            raise StoreError(
                f"a workspace must be a folder, got the file {self.workspace}: choose another one."
            )
        object.__setattr__(self, "_shared", SharedStages.of(self.workspace))

    def inspect(
        self, address: Address, inputs: Mapping[str, str] | None = None, deep: bool = False
    ) -> Inspection:
        """Return whether a stage is done, and if not, why.

        Args:
            address: The stage.
            inputs: Current digest of inputs, by name; a stage that used other bytes is STALE. Inputs without a digest
                are not compared.
            deep: Also hash every file; otherwise only names and sizes are compared, which is quick. What stands in a
                shared place is downloaded for it.
        """
        if self._shared:
            return self._shared.inspect(address, deep).against(inputs or {})
        return inspect_folder(self.workspace / address.folder, address, inputs, deep)

    def inspect_all(self, addresses: Collection[Address], deep: bool = False) -> dict[Address, Inspection]:
        """Return what `inspect` returns of many stages without their inputs, sooner if a shared place is far away."""
        if self._shared:
            return self._shared.inspect_all(addresses, deep)
        return {address: self.inspect(address, deep=deep) for address in addresses}

    def find_manifest(self, address: Address) -> Manifest | None:
        """Return the manifest of a published stage, whose files may be damaged; None if there is none.

        Raises:
            StoreError: If it cannot be read.
        """
        if self._shared:
            return self._shared.find_manifest(address)
        folder = self.workspace / address.folder
        return read_manifest(folder) if folder.is_dir() else None

    def fetch(self, address: Address) -> Path:
        """Return the folder with the files of a published stage, downloaded from a shared place if they are not here.

        Raises:
            DamagedError: The files in a shared place are not what was published; the message is a phrase.
            StoreError: The stage is gone from a shared place, or the disk refuses.
        """
        return self._shared.fetch(address) if self._shared else self.workspace / address.folder

    def record(self, address: Address, manifest: Manifest) -> StageRecord:
        """Return a published stage's record."""
        return StageRecord(
            task=address.task,
            stage=address.stage,
            fingerprint=address.fingerprint,
            digest=manifest.digest,
            path=address.folder.as_posix(),
            facts=dict(manifest.facts),
        )

    @contextmanager
    def locked(self, address: Address, wait: bool = True) -> Iterator[None]:
        """Hold the stage's lock while the body runs.

        Args:
            address: The stage.
            wait: Whether to wait while another process or thread holds the lock.

        Raises:
            HeldError: If another holds it, and `wait` is false.
            StoreError: If the lock cannot be created.
        """
        work = self.workspace / address.work_folder
        with file_errors("write", work):
            work.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            held.enter_context(hold(lock_file(work), f"{address.task} {address.stage}", wait))
            if self._shared:
                held.enter_context(self._shared.leased(address, wait))
            yield

    def check_held(self, address: Address) -> None:
        """Do nothing, unless another machine has taken the stage over: call it inside `writing` at each step.

        Raises:
            LostError: Another has, because this one was taken for dead; the stage's result will be the other's.
        """
        if self._shared:
            self._shared.check_held(address)

    @contextmanager
    def writing(self, address: Address, inputs: Mapping[str, str], wait: bool = True) -> Iterator[Path]:
        """Hold the stage's lock and yield its work folder, with what an interrupted writer left in it.

        Inspect the stage again inside: another process may have published it before the lock was free. The work folder
        stays when the body fails, so that the stage can resume. What a writer with other inputs left is deleted. A
        checkpoint that another machine has left in a shared place is downloaded. A LostError of the body deletes all.

        Args:
            address: The stage.
            inputs: Current digest of each input, by name.
            wait: Whether to wait while another process or thread holds the lock.

        Raises:
            HeldError: If another holds the lock, and `wait` is false.
            StoreError: If the folder cannot be created, or the disk is full, read-only or broken.
        """
        work = self.workspace / address.work_folder
        with self.locked(address, wait):
            with file_errors("write", work):
                prepare_work(work, inputs)
                if self._shared:
                    self._shared.restore(address, work)
            try:
                with disk_errors("write", work):
                    yield work
            except LostError:
                # Whoever took over goes on from what was sent.
                discard_work(work)
                raise
            finally:
                tidy_work(work)

    def publish(
        self,
        address: Address,
        *,
        code_version: int,
        config: Mapping[str, Any],
        inputs: Mapping[str, str],
        facts: Mapping[str, Any],
    ) -> StageRecord:
        """Publish the work folder with all its files; call it inside `writing`.

        Args:
            address: The stage.
            code_version: The stage's code version.
            config: The settings that it read, as JSON values.
            inputs: Digest of each input that it used, by name.
            facts: JSON values to show.

        Returns:
            The stage's record. An older copy of the stage is kept in the task's backup folder.

        Raises:
            LostError: Another machine has published the stage meanwhile: its result stands.
            StoreError: If the disk refuses; the work folder then stays.
            TypeError: If JSON cannot represent config or facts.
            ValueError: If they hold a number that is not finite.
        """
        work = self.workspace / address.work_folder
        assert work.is_dir(), f"publish outside of writing: {work}"
        with file_errors("publish", work):
            manifest = Manifest(
                task=address.task,
                stage=address.stage,
                fingerprint=address.fingerprint,
                code_version=code_version,
                config=dict(config),
                inputs=dict(inputs),
                files=hash_files(work),
                facts=dict(facts),
                created=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            if self._shared:
                manifest = self._shared.publish(address, work, manifest)
            else:
                final = self.workspace / address.folder
                publish_folder(work, final, self.workspace / address.backup_folder, manifest)
            discard_resume(work)
        return self.record(address, manifest)

    def keep(self, address: Address) -> None:
        """Send what an interrupted stage would continue from to a shared place; call it inside `writing`.

        Raises:
            LostError: As `check_held`.
            OSError: If the disk refuses.
        """
        self.check_held(address)
        if self._shared:
            self._shared.keep(address, self.workspace / address.work_folder)

    def set_aside(self, address: Address) -> str | None:
        """Move a damaged stage to its task's backup folder, so that the next run builds it again.

        From a shared place, it is withdrawn if it is damaged there, and not in the local copy alone.

        Returns:
            Where its files are now; None if another process is building the stage.

        Raises:
            StoreError: If the disk refuses.
        """
        with suppress(HeldError), self.locked(address, wait=False):
            final = self.workspace / address.folder
            with file_errors("move", final):
                if self._shared:
                    return self._shared.set_aside(address)
                return str(move_to_backup(final, self.workspace / address.backup_folder))
        return None
