"""A shared folder's own faults: lost answers, stale files, names that a machine does not know yet, left-over files."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_disk import faulty_disk

from pkd_core.errors import StoreError
from pkd_core.places.first_writer import create_or_read
from pkd_core.places.folder import FolderObjects


@pytest.fixture
def place(tmp_path: Path) -> FolderObjects:
    (tmp_path / "place").mkdir()
    return FolderObjects(tmp_path / "place")


def fail_once(
    monkeypatch: pytest.MonkeyPatch, name: str, number: int, is_after: bool = False
) -> Callable[..., Any]:
    """Let a call of `os` fail the first time, before or after it has acted."""
    call, failed = getattr(os, name), []

    def act(*args: Any, **kwargs: Any) -> Any:
        if failed:
            return call(*args, **kwargs)
        failed.append(name)
        if is_after:
            call(*args, **kwargs)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, act)
    return act


def files(place: FolderObjects) -> list[str]:
    return [path.name for path in place.root.rglob("*") if path.is_file()]


def test_a_link_whose_answer_was_lost_counts(place: FolderObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_once(monkeypatch, "link", errno.EEXIST, is_after=True)
    assert place.create("a/b", b"one")
    assert files(place) == ["b"]


def test_a_link_that_was_refused_does_not_count(
    place: FolderObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.create("a/b", b"one")
    fail_once(monkeypatch, "link", errno.EEXIST)
    assert not place.create("a/c", b"two")
    assert files(place) == ["b"]


def test_a_rename_whose_answer_was_lost_counts(place: FolderObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_once(monkeypatch, "replace", errno.ENOENT, is_after=True)
    place.put("a/b", b"one")
    found = place.read("a/b")
    assert found is not None
    fail_once(monkeypatch, "rename", errno.ENOENT, is_after=True)
    assert place.replace("a/b", b"two", found[1])
    assert (place.root / "a/b").read_bytes() == b"two"
    assert files(place) == ["b"]


@pytest.mark.parametrize(("name", "is_after"), [("rename", False), ("rename", True), ("link", False)])
def test_a_replacement_that_fails_leaves_the_old_object(
    name: str, is_after: bool, place: FolderObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.create("a/b", b"one")
    found = place.read("a/b")
    assert found is not None
    fail_once(monkeypatch, name, errno.EIO, is_after)
    with pytest.raises(StoreError, match=r"replace a/b in file:///.*'Input/output error'"):
        place.replace("a/b", b"two", found[1])
    assert (place.root / "a/b").read_bytes() == b"one"
    assert files(place) == ["b"]


def test_an_object_that_changed_after_it_was_read_goes_back(
    place: FolderObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.create("a/b", b"one")
    found = place.read("a/b")
    assert found is not None
    rename = os.rename

    def rename_later(*args: Any) -> None:
        (place.root / "a/b").write_bytes(b"by another")
        rename(*args)

    monkeypatch.setattr(os, "rename", rename_later)
    assert not place.replace("a/b", b"two", found[1])
    assert (place.root / "a/b").read_bytes() == b"by another"
    assert files(place) == ["b"]


def test_a_file_that_is_replaced_while_it_is_read_is_opened_again(
    place: FolderObjects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place.put("a/b", b"one")
    read, num_stale = Path.read_bytes, []

    def read_stale(path: Path) -> bytes:
        if len(num_stale) < 3:
            num_stale.append(path)
            raise OSError(errno.ESTALE, "stale")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_stale)
    found = place.read("a/b")
    assert found is not None
    assert found[0] == b"one"


def test_a_name_that_the_machine_does_not_know_yet_is_asked_for_again(
    place: FolderObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an NFS client does: what it did not find, it does not find until something changes in the folder."""
    mkdir, is_known = os.mkdir, []
    monkeypatch.setattr(os, "mkdir", lambda *args: (mkdir(*args), is_known.append(True)))
    read = Path.read_bytes

    def read_known(path: Path) -> bytes:
        if not is_known:
            raise FileNotFoundError(path)
        return read(path)

    (place.root / "a").mkdir()
    is_known.clear()
    (place.root / "a/b").write_bytes(b"of another machine")
    monkeypatch.setattr(Path, "read_bytes", read_known)
    found = place.read("a/b")
    assert found is not None
    assert found[0] == b"of another machine"


def test_a_place_that_is_no_longer_mounted_is_not_made_anew(place: FolderObjects) -> None:
    place.root.rmdir()
    with pytest.raises(StoreError, match=r"create a/b .*'No such file or directory': check that folder"):
        place.create("a/b", b"one")
    assert not place.root.exists()


def test_a_full_local_disk_is_not_blamed_on_the_place(place: FolderObjects) -> None:
    place.put("a/b", b"one")
    with pytest.raises(OSError, match="No space left on device") as raised:
        place.download("a/b", Path("/dev/full"))
    assert raised.value.errno == errno.ENOSPC


def test_temporary_files_are_not_listed_and_old_ones_are_deleted(place: FolderObjects) -> None:
    place.put("a/b", b"one")
    young, old = place.root / "a/.pkd-young", place.root / "a/.pkd-old"
    for path in (young, old):
        path.write_bytes(b"left over")
    yesterday = time.time() - 100_000
    os.utime(old, (yesterday, yesterday))
    (place.root / "a/.nfs0001").write_bytes(b"open elsewhere")
    (place.root / "a/link").symlink_to("/etc")
    assert [found.key for found in place.list("")] == ["a/b"]
    assert young.exists()
    assert not old.exists()


def test_folders_go_with_their_last_object_and_the_place_stays(place: FolderObjects) -> None:
    place.put("a/b/c", b"one")
    place.put("a/d", b"two")
    place.delete("a/b/c")
    assert [path.name for path in place.root.rglob("*")] == ["a", "d"]
    place.delete("a/d")
    assert list(place.root.iterdir()) == []


def test_a_folder_that_another_process_deletes_is_made_again(
    place: FolderObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir, deleted = os.mkdir, []

    def mkdir_late(path: Path, *args: Any) -> None:
        mkdir(path, *args)
        if len(deleted) < 2:
            deleted.append(path)
            path.rmdir()

    monkeypatch.setattr(os, "mkdir", mkdir_late)
    place.put("a/b", b"one")
    assert len(deleted) == 2
    assert files(place) == ["b"]


def test_first_writers_agree_on_a_disk_that_fails_often(place: FolderObjects) -> None:
    with faulty_disk(seed=3, rate=0.1) as counts:
        standing = [create_or_read(place, f"{n % 20}", f"{n}".encode()) for n in range(200)]
    assert standing == [f"{n % 20}".encode() for n in range(200)]
    assert sum(number for name, number in counts.items() if name != "none") > 20
