"""Machines that share a workspace, each with a local folder of its own, and places that fail as asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkd_core.errors import StoreError
from pkd_core.places.objects import Objects
from pkd_core.store.attached import attach, place_of
from pkd_core.store.shared_stages import SharedStages
from pkd_core.store.stage_store import StageStore

WRITES = ("create", "replace", "put", "upload", "delete")


class Killed(BaseException):
    """Stands for the end of the process."""


class FailingPlace:
    """A place whose calls are counted, and one of whose writes does not return.

    Args:
        place: The place itself.
        fault: Called with the name of each write and its key before it is done; what it returns is called afterwards.
    """

    def __init__(self, place: Objects, fault: Callable[[str, str], Callable[[], None] | None]) -> None:
        self._place = place
        self._fault = fault
        self.calls: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._place, name)
        if not callable(attribute):
            return attribute

        def call(*arguments: Any) -> Any:
            key = str(arguments[1] if name == "upload" else arguments[0])
            after = self._fault(name, key) if name in WRITES else None
            self.calls.append((name, key))
            result = attribute(*arguments)
            if after:
                after()
            return result

        return call

    def keys(self, name: str) -> list[str]:
        """Return the keys of the calls of one method."""
        return [key for called, key in self.calls if called == name]


class Machines:
    """Machines that share one workspace.

    Args:
        url: The place; None for one machine alone, which has several processes.
        root: A folder for the machines' own folders.
        patch: Undoes what is set in the environment.
    """

    def __init__(self, url: str | None, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.url = url
        self._root = root
        self._patch = patch

    def workspace(self, machine: str) -> Path:
        """Return the workspace on a machine."""
        if self.url is None:
            return self._root / "alone"
        self._patch.setenv("PKD_CACHE", str(self._root / machine))
        return attach(self.url)

    def store(self, machine: str) -> StageStore:
        """Return the workspace's store on a machine."""
        return StageStore(self.workspace(machine))

    def failing(
        self, machine: str, fault: Callable[[str, str], Callable[[], None] | None] = lambda *_: None
    ) -> tuple[StageStore, FailingPlace]:
        """Return the store on a machine whose calls of the place are counted, and may fail."""
        store = self.store(machine)
        place = FailingPlace(self.place, fault)
        object.__setattr__(store, "_shared", SharedStages(place, store.workspace))  # type: ignore[arg-type]
        return store, place

    @property
    def place(self) -> Objects:
        """The place."""
        place = place_of(self.workspace("a"))
        assert place is not None
        return place


def raising(error: BaseException) -> Callable[[], None]:
    """Return a function that raises an error."""

    def fail() -> None:
        raise error

    return fail


class DiesAt:
    """Ends a process at one of its writes to a place: before it is done, or after.

    Args:
        number: Which write, counted from 0.
        is_done: Whether the write is done all the same.
    """

    def __init__(self, number: int, is_done: bool) -> None:
        self._left = number
        self._is_done = is_done
        self.is_dead = False

    def __call__(self, name: str, key: str) -> Callable[[], None] | None:
        if self.is_dead:
            # What the process does on its way out never reaches the place.
            raise StoreError("dead")
        if name == "put" and "/leases/" in key:
            # A renewal comes from another thread, at any time.
            return None
        self._left -= 1
        if self._left >= 0:
            return None
        self.is_dead = True
        if self._is_done:
            return raising(Killed())
        raise Killed
