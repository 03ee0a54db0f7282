"""The stage store: results of stages in folders whose names depend on what they were built from."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pkd_core.errors import HeldError, StoreError
from pkd_core.store.address import Address, StageRecord
from pkd_core.store.inspection import Inspection, StageStatus, inspect_folder
from pkd_core.store.lock import hold_any
from pkd_core.store.manifest import Manifest
from pkd_core.store.os_errors import disk_errors, file_errors
from pkd_core.store.publishing import hash_files, move_to_backup, publish_folder
from pkd_core.store.work_folder import discard_resume, lock_file, prepare_work, tidy_work

__all__ = ["Address", "Inspection", "StageStatus", "StageStore"]


@dataclass(frozen=True)
class StageStore:
    """The published stages of one workspace.

    Attributes:
        workspace: Folder that holds `data_feat` and `artifacts`; created by the first write.

    Raises:
        StoreError: If `workspace` is a file.
    """

    workspace: Path

    def __post_init__(self) -> None:
        if self.workspace.exists() and not self.workspace.is_dir():
            raise StoreError(
                f"a workspace must be a folder, got the file {self.workspace}: choose another one."
            )

    def inspect(
        self, address: Address, inputs: Mapping[str, str] | None = None, deep: bool = False
    ) -> Inspection:
        """Return whether a stage is done, and if not, why.

        Args:
            address: The stage.
            inputs: Current digest of inputs, by name; a stage that used other bytes is STALE. Inputs without a digest
                are not compared.
            deep: Also hash every file; otherwise only names and sizes are compared, which is quick.
        """
        return inspect_folder(self.workspace / address.folder, address, inputs, deep)

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
        with hold_any([lock_file(work)], f"{address.task} {address.stage}", wait):
            yield

    @contextmanager
    def writing(self, address: Address, inputs: Mapping[str, str], wait: bool = True) -> Iterator[Path]:
        """Hold the stage's lock and yield its work folder, with what an interrupted writer left in it.

        Inspect the stage again inside: another process may have published it before the lock was free. The work folder
        stays when the body fails, so that the stage can resume. What a writer with other inputs left is deleted.

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
            try:
                with disk_errors("write", work):
                    yield work
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
            final = self.workspace / address.folder
            publish_folder(work, final, self.workspace / address.backup_folder, manifest)
            discard_resume(work)
        return self.record(address, manifest)

    def fetch(self, address: Address) -> Path:
        """Return the folder with every file of a published stage."""
        return self.workspace / address.folder

    def keep(self, address: Address) -> None:
        """Send what an interrupted stage would continue from to where other machines find it; inside `writing`."""

    def set_aside(self, address: Address) -> Path | None:
        """Move a damaged stage to its task's backup folder, so that the next run builds it again.

        Returns:
            Its path there; None if another process is building the stage.

        Raises:
            StoreError: If the disk refuses.
        """
        with suppress(HeldError), self.locked(address, wait=False):
            final = self.workspace / address.folder
            with file_errors("move", final):
                return move_to_backup(final, self.workspace / address.backup_folder)
        return None
