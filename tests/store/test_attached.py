"""A local folder knows the place that it is attached to; a folder without its mark is one of this machine alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pkd_core.errors import ConfigError, StoreError
from pkd_core.store import attached
from pkd_core.store.attached import attach, place_of

ATTACH = "import sys; from pkd_core.store.attached import attach; sys.stdout.write(str(attach(sys.argv[1])))"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    attached._opened.cache_clear()
    monkeypatch.setenv("PKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def url(tmp_path: Path) -> str:
    (tmp_path / "shared").mkdir()
    return (tmp_path / "shared").as_uri()


def test_attaching_makes_a_folder_that_names_its_place(url: str, cache: Path) -> None:
    workspace = attach(url)
    assert workspace.parent == cache
    assert json.loads((workspace / "place.json").read_text(encoding="utf-8")) == {"url": url}
    place = place_of(workspace)
    assert place is not None
    assert place.url == url
    assert attach(f"{url}/") == workspace, "the same place"
    assert place_of(workspace) is place, "opened once"


def test_other_places_have_other_folders(url: str, tmp_path: Path) -> None:
    names = []
    for name in ("shared", "shared-", "sh ared"):
        (tmp_path / name).mkdir(exist_ok=True)
        names.append(attach((tmp_path / name).as_uri()).name)
    assert len(set(names)) == 3
    assert all(len(name) <= 80 and set(name) <= set(map(chr, range(45, 123))) for name in names)


def test_without_a_variable_the_folder_is_in_the_users_cache(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PKD_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert attach(url).parent == tmp_path / "home" / ".cache" / "pkd"


def test_a_workspace_of_one_machine_has_no_place(tmp_path: Path) -> None:
    assert place_of(tmp_path) is None
    assert place_of(tmp_path / "absent") is None
    (tmp_path / "file").touch()
    assert place_of(tmp_path / "file") is None


def test_the_local_folder_may_be_moved(url: str, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    moved = attach(url).rename(tmp_path / "moved")
    place = place_of(moved)
    assert place is not None
    assert place.url == url


def test_processes_that_attach_at_once_get_the_same_folder(url: str, cache: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", ATTACH, url], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    found = {process.communicate(timeout=60)[0] for process in processes}
    assert found == {str(attach(url))}
    assert os.listdir(cache / attach(url).name) == ["place.json"]  # noqa: PTH208


def test_a_folder_of_another_place_is_refused(url: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    workspace = attach(url)
    (workspace / "place.json").write_text(
        json.dumps({"url": (tmp_path / "other").as_uri()}), encoding="utf-8"
    )
    with pytest.raises(StoreError) as caught:
        attach(url)
    assert str(caught.value) == (
        f"{workspace} must belong to {url}, and belongs to {(tmp_path / 'other').as_uri()}: move it away, or set "
        "PKD_CACHE to another folder."
    )


@pytest.mark.parametrize("text", ["", "{}", '{"url": 7}', "[1]", "\x00"])
def test_a_mark_that_cannot_be_read_is_named(text: str, url: str) -> None:
    workspace = attach(url)
    (workspace / "place.json").write_text(text, encoding="utf-8")
    for look in (lambda: attach(url), lambda: place_of(workspace)):
        with pytest.raises(StoreError, match=r"place\.json must name the place of this workspace, and says"):
            look()


def test_a_place_that_cannot_be_used_leaves_no_folder(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ConfigError, match="mount it, or create it once"):
        attach((tmp_path / "absent").as_uri())
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_named(url: str, cache: Path) -> None:
    cache.write_bytes(b"")
    with pytest.raises(StoreError, match="move away the file that is where a folder is needed"):
        attach(url)
