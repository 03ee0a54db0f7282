"""The run record of a search, which grows with each plan: `pkd clean` spares all that a search has made."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from flows.run_file import run_file, write_run_file
from flows.search.request import SearchRequest
from pkd_core.config.model_paths import model_paths
from pkd_core.pipeline.plan import Plan
from pkd_core.store.run_records import record_run


class SearchRecord:
    """Keeps a search recorded, and marked as running, while the body runs.

    Args:
        asked: The search.
    """

    def __init__(self, asked: SearchRequest) -> None:
        self._asked = asked
        run = asked.request.run
        config = asked.config.model_dump(mode="json")
        self._values = run.model_dump(mode="json") | model_paths(run) | {"search": config}
        self._folders: set[Path] = set()
        self._current = ExitStack()
        self.path: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._current.close()

    def add(self, *plans: Plan) -> None:
        """Record that the search refers to the stages of some plans too.

        Raises:
            StoreError: If the record cannot be written.
        """
        folders = {planned.stage.address.folder for plan in plans for planned in plan.stages}
        if folders <= self._folders:
            return
        self._folders |= folders
        with ExitStack() as record:
            self.path = record.enter_context(
                record_run(self._asked.workspace, self._values, sorted(self._folders))
            )
            write_run_file(self._asked.parameters(), run_file(self.path))
            # The new record replaces the file of the old one, and each holds a lock of its own.
            self._current.close()
            self._current = record.pop_all()
