"""Atomic writes under real faults: a path holds the old content or the complete new one, and no remains stay."""

import ast
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from disks import fill, max_file_size, small_disk

import pkd_core
from pkd_core.store.atomic import atomic_file, atomic_write_text, durable_rename, fsync_tree, partial_path

OLD, NEW = b"old" * 100_000, b"new!" * 200_000
WRITER = """
import os, signal, sys
from pathlib import Path
from pkd_core.store.atomic import atomic_file

path, moment = Path(sys.argv[1]), sys.argv[2]

def die(event, arguments=()):
    if event == moment:
        os.kill(os.getpid(), signal.SIGKILL)

fsync = os.fsync
os.fsync = lambda descriptor: die("before fsync") or fsync(descriptor) or die("after fsync")
with atomic_file(path) as file:
    sys.addaudithook(die)  # an audit event comes just before the operation
    file.write(b"new!" * 100_000)
    file.flush()
    die("half written")
    file.write(b"new!" * 100_000)
die("end")
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("half written", OLD),
        ("before fsync", OLD),
        ("after fsync", OLD),
        ("os.rename", OLD),
        ("open", NEW),
        ("end", NEW),
    ],
)
def test_a_killed_writer_leaves_the_old_file_or_the_new_one(
    moment: str, expected: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    killed = subprocess.run([sys.executable, "-c", WRITER, str(path), moment], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == expected
    with atomic_file(path) as file:
        file.write(b"next")
    assert path.read_bytes() == b"next"
    assert names(tmp_path) == ["file"], "the next writer removes what a killed one left"


@pytest.mark.parametrize("error", [ValueError("in the body"), KeyboardInterrupt()])
@pytest.mark.parametrize("is_new", [True, False])
def test_an_error_in_the_body_leaves_no_trace(error: BaseException, is_new: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if not is_new:
        path.write_bytes(OLD)
    with pytest.raises(type(error)) as raised, atomic_file(path) as file:
        file.write(NEW)
        raise error
    assert raised.value is error
    assert names(tmp_path) == ([] if is_new else ["file"])
    assert is_new or path.read_bytes() == OLD


def test_an_error_of_the_body_is_raised_even_if_the_temporary_file_is_gone(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="in the body"), atomic_file(tmp_path / "file"):
        (tmp_path / "file.part").unlink()
        raise KeyError("in the body")
    assert names(tmp_path) == []


@pytest.mark.parametrize("num_bytes", [1000, len(NEW)], ids=["buffered", "direct"])
def test_a_file_that_may_not_grow_leaves_the_old_one(num_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    with pytest.raises(OSError, match="File too large"), max_file_size(100), atomic_file(path) as file:
        file.write(NEW[:num_bytes])
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_file_and_frees_what_was_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        (disk / "file").write_bytes(b"old")
        free = os.statvfs(disk).f_bfree
        with pytest.raises(OSError, match="No space left") as raised:
            atomic_write_text(disk / "file", "new" * 1_000_000)
        assert raised.value.errno == errno.ENOSPC
        assert (disk / "file").read_bytes() == b"old"
        assert names(disk) == ["file"]
        assert os.statvfs(disk).f_bfree == free
        fill(disk)
        with pytest.raises(OSError, match="No space left"):
            atomic_write_text(disk / "file", "new")
        assert (disk / "file").read_bytes() == b"old"
        assert names(disk) == ["file", "filler"]


def test_the_temporary_file_is_in_the_same_folder_under_a_fixed_name(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "shard.parquet") as file:
        assert names(tmp_path) == ["shard.parquet.part"]
        file.write(b"x")
    assert partial_path(tmp_path / "shard.parquet") == tmp_path / "shard.parquet.part"


@pytest.mark.parametrize("is_slow_one_unique", [True, False])
def test_concurrent_writers_do_not_mix_their_bytes(is_slow_one_unique: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_file(path, is_slow_one_unique) as slow:
        slow.write(OLD)
        slow.flush()
        atomic_write_text(path, "quick", has_concurrent_writers=True)
        assert path.read_text(encoding="utf-8") == "quick"
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def test_text_is_written_as_utf_8_without_changing_line_ends(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "file", "é\r\n\n")
    assert (tmp_path / "file").read_bytes() == b"\xc3\xa9\r\n\n"


def test_all_bytes_are_flushed_before_the_rename_and_the_name_after_it(
    synced: list[tuple[str, int]], tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    atomic_write_text(tmp_path / "folder" / "file", "1234")
    assert synced == [("fsync file.part", 4), ("rename file.part", 4), ("fsync folder", 0)]


def test_a_tree_is_flushed_with_its_files_and_folders_and_a_file_alone(
    synced: list[tuple[str, int]], tmp_path: Path
) -> None:
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "tree" / "inner" / "a").write_bytes(b"12")
    (tmp_path / "tree" / "b").write_bytes(b"1")
    num_open = len(list(Path("/proc/self/fd").iterdir()))
    fsync_tree(tmp_path / "tree")
    assert len(list(Path("/proc/self/fd").iterdir())) == num_open
    assert synced == [("fsync a", 2), ("fsync inner", 0), ("fsync b", 1), ("fsync tree", 0)]
    synced.clear()
    fsync_tree(tmp_path / "tree" / "b")
    assert synced == [("fsync b", 1)]
    synced.clear()
    (tmp_path / "other").mkdir()
    durable_rename(tmp_path / "tree" / "inner", tmp_path / "other" / "moved")
    assert synced[0] == ("rename inner", 0)
    assert sorted(synced[1:]) == [("fsync other", 0), ("fsync tree", 0)]
    assert (tmp_path / "other" / "moved" / "a").read_bytes() == b"12"


ROOT = Path(pkd_core.__file__).parents[1]


def test_files_are_renamed_and_flushed_and_locked_in_one_place() -> None:
    places = set()
    for path in [path for room in ("pkd_core", "tasks", "flows") for path in (ROOT / room).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr="rename" | "fsync" | "link" | "move" as name)):
                    pass
                # str.replace has two arguments, and those of datetime and dataclasses have names.
                case ast.Call(func=ast.Attribute(attr="replace" as name), args=[_], keywords=[]):
                    pass
                case (
                    ast.ImportFrom(module="filelock" as name)
                    | ast.Import(names=[ast.alias("filelock" as name)])
                ):
                    pass
                case _:
                    continue
            places.add((path.relative_to(ROOT).as_posix(), name))
    # A shared folder is written in other ways than a disk of this machine.
    assert {place for place in places if not place[0].startswith("pkd_core/places/")} == {
        ("pkd_core/store/atomic.py", "fsync"),
        ("pkd_core/store/atomic.py", "replace"),
        ("pkd_core/store/lock.py", "filelock"),
        ("pkd_core/training/checkpoints.py", "link"),
    }
