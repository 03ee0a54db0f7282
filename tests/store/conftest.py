"""A record of what is flushed and renamed, in its order."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The calls of fsync with the size of what they flush, and of rename, in their order."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs Linux's /proc")
    calls: list[tuple[str, int]] = []

    def follow(name: str, function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            target = arguments[0]
            path = (
                Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else Path(str(target))
            )
            calls.append((f"{name} {path.name}", path.stat().st_size if path.is_file() else 0))
            function(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", follow("fsync", os.fsync))
    monkeypatch.setattr(os, "replace", follow("rename", os.replace))
    return calls
