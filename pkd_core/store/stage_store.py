"""The stage store: results of stages in folders addressed by what they were made from."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pkd_core.errors import StoreError
from pkd_core.store.address import Address, StageRecord
from pkd_core.store.inspection import Inspection, StageStatus, inspect_folder
from pkd_core.store.lock import exclusive
from pkd_core.store.manifest import Manifest
from pkd_core.store.os_errors import disk_errors, file_errors
from pkd_core.store.publishing import hash_files, publish_folder
from pkd_core.store.work_folder import leave_work, prepare_work

__all__ = ["Address", "Inspection", "StageStatus", "StageStore"]


@dataclass(frozen=True)
class StageStore:
    """The published stages of one workspace.

    Attributes:
        workspace: Folder that holds `data_feat` and `artifacts`; made when first written to.

    Raises:
        StoreError: If `workspace` is a file.
    """

    workspace: Path

    def __post_init__(self) -> None:
        if self.workspace.exists() and not self.workspace.is_dir():
            raise StoreError(
                f"a workspace must be a folder, got the file {self.workspace}: name another one."
            )

    def inspect(
        self, address: Address, inputs: Mapping[str, str] | None = None, deep: bool = False
    ) -> Inspection:
        """Say whether a stage is done, and if not, why.

        Args:
            address: The stage.
            inputs: Digest of inputs as they are now, by name; one that differs from the one used makes the
                stage STALE, and those not named stay unchecked.
            deep: Also hash every file; otherwise a folder's names and sizes are compared, which is quick.
        """
        return inspect_folder(self.workspace / address.folder, address, inputs, deep)

    def record(self, address: Address, manifest: Manifest) -> StageRecord:
        """Return what followers need to know of a published stage."""
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
        """Hold the stage's lock, by default waiting for it as long as another process or thread holds it.

        Raises:
            HeldError: If another holds it, and `wait` is false.
            StoreError: If the lock cannot be made.
        """
        work = self.workspace / address.work_folder
        with file_errors("write", work):
            work.parent.mkdir(parents=True, exist_ok=True)
        with exclusive([work], f"{address.task} {address.stage}", wait):
            yield

    @contextmanager
    def writing(self, address: Address, inputs: Mapping[str, str], wait: bool = True) -> Iterator[Path]:
        """Hold the stage's lock and yield its work folder, with what an interrupted writer left there.

        Whoever had to wait for the lock should inspect again: the other may have published meanwhile. The
        work folder stays when the body fails, so that the stage can resume; work begun from other inputs is
        cleared away, because what it holds would not fit what comes.

        Args:
            address: The stage.
            inputs: Digest of each input as it is now, by name.
            wait: Whether to wait for the lock.

        Raises:
            HeldError: If another holds the lock, and `wait` is false.
            StoreError: If the folder cannot be made, or the body meets a full, read-only or broken disk.
        """
        work = self.workspace / address.work_folder
        with self.locked(address, wait):
            with file_errors("write", work):
                prepare_work(work, inputs)
            try:
                with disk_errors("write", work):
                    yield work
            finally:
                leave_work(work)

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
            facts: JSON values worth showing.

        Returns:
            The stage's record. A copy that stood at its place before is kept in the task's `.aside` folder.

        Raises:
            StoreError: If the disk refuses; the work folder then stays.
            TypeError: If config or facts hold what JSON has no form for.
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
        return self.record(address, manifest)
