"""The run record of work in rounds, which grows with each plan: `pkd clean` spares all that the rounds have made."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pkd_core.store.run_records import record_run

if TYPE_CHECKING:
    from pkd_core.pipeline.plan import Plan  # imports torch, which takes seconds


class GrowingRecord:
    """Keeps work in rounds recorded, and marked as running, while the body runs.

    Args:
        workspace: The workspace.
        values: What distinguishes it from others, as JSON values.
        written: Called with the record's path whenever it was written.
    """

    def __init__(
        self, workspace: Path, values: Mapping[str, Any], written: Callable[[Path], None] = lambda _: None
    ) -> None:
        self._workspace = workspace
        self._values = values
        self._written = written
        self._folders: set[Path] = set()
        self._current = ExitStack()
        self.path: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._current.close()

    def add(self, *plans: "Plan") -> None:
        """Record that it refers to the stages of some plans too.

        Raises:
            StoreError: If the record cannot be written.
        """
        folders = {planned.stage.address.folder for plan in plans for planned in plan.stages}
        if folders <= self._folders:
            return
        self._folders |= folders
        with ExitStack() as record:
            self.path = record.enter_context(record_run(self._workspace, self._values, sorted(self._folders)))
            self._written(self.path)
            # The new record replaces the file of the old one, and each holds a lock of its own.
            self._current.close()
            self._current = record.pop_all()
