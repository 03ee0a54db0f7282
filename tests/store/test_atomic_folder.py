"""A folder is written complete or not at all, whenever its writer dies, and the next writer replaces what was left."""

from pathlib import Path

import pytest
from kill_points import kill_at_each_operation

from pkd_core.store.atomic import atomic_folder

COMPLETE = {"a": b"a" * 10_000, "below/b": b"b"}


def write(folder: Path) -> None:
    with atomic_folder(folder / "parent" / "made") as partial:
        (partial / "a").write_bytes(COMPLETE["a"])
        (partial / "below").mkdir()
        (partial / "below" / "b").write_bytes(COMPLETE["below/b"])


def nothing(_folder: Path) -> None:
    """Leave the folder empty."""


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_writer_killed_at_any_operation_leaves_the_complete_folder_or_none(tmp_path: Path) -> None:
    folders = kill_at_each_operation(tmp_path, nothing, write)
    assert len(folders) > 10
    found = []
    for folder in folders:
        found.append(files(folder / "parent" / "made"))
        assert found[-1] in ({}, COMPLETE)
        if not found[-1]:
            write(folder)
            assert files(folder) == {f"parent/made/{name}": content for name, content in COMPLETE.items()}
    assert {} in found and COMPLETE in found


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "made") as partial:
        (partial / "a").write_bytes(b"a")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_content_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "mine").write_bytes(b"mine")
    with pytest.raises(OSError), atomic_folder(tmp_path / "made") as partial:
        (partial / "a").write_bytes(b"a")
    assert files(tmp_path) == {"made/mine": b"mine"}


def test_everything_is_on_the_disk_before_the_rename(tmp_path: Path, synced: list[tuple[str, int]]) -> None:
    write(tmp_path)
    names = [call for call, _ in synced]
    before = names[: names.index("rename made.part")]
    assert {"fsync a", "fsync b", "fsync below", "fsync made.part"} <= set(before)
