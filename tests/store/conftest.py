"""A record of what is flushed and renamed, in its order; and machines that share a workspace."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from machines import Machines
from s3_server import new_bucket, s3_environment

from pkd_core.store import attached


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


def url_of(kind: str, request: pytest.FixtureRequest, patch: pytest.MonkeyPatch) -> str | None:
    """Return the URL of a new place of a kind; None for a workspace of one machine alone."""
    if kind == "alone":
        return None
    if kind == "folder":
        folder: Path = request.getfixturevalue("tmp_path") / "shared"
        folder.mkdir()
        return folder.as_uri()
    server = request.getfixturevalue("endpoint")
    for name, value in s3_environment(server).items():
        patch.setenv(name, value)
    return f"s3://{new_bucket(server)}/some/prefix"


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def sharing(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machines]:
    """Machines that share a place."""
    attached._opened.cache_clear()
    yield Machines(url_of(request.param, request, monkeypatch), tmp_path / "machines", monkeypatch)


@pytest.fixture(params=["alone", "folder", "s3"])
def machines(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machines]:
    """Machines that share a place, or processes of one machine that share a folder."""
    attached._opened.cache_clear()
    yield Machines(url_of(request.param, request, monkeypatch), tmp_path / "machines", monkeypatch)
