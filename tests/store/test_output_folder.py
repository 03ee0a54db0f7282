"""Copies in a folder of the user: whole or marked, completed by the next call, and no other file replaced."""

import json
from pathlib import Path

import pytest
from kill_points import kill_at_each_operation

from pkd_core.errors import ConfigError, DamagedError
from pkd_core.store import output_folder
from pkd_core.store.fingerprint import hash_file
from pkd_core.store.manifest import FileEntry
from pkd_core.store.output_folder import RECORD, Copy, check_output, write_output


def copies(root: Path, **files: str) -> dict[str, Copy]:
    """Publish files, and return them by the paths that they are to have; `__` stands for a slash."""
    root.mkdir(exist_ok=True)
    found = {}
    for key, text in files.items():
        name = key.replace("__", "/") + ".txt"
        source = root / name.replace("/", "-")
        source.write_text(text, encoding="utf-8")
        found[name] = Copy(source, FileEntry(name, source.stat().st_size, hash_file(source)))
    return found


def content(folder: Path) -> dict[str, str]:
    paths = [
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((RECORD, ".pkd"))
    ]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def is_complete(folder: Path) -> bool:
    return json.loads((folder / RECORD).read_text(encoding="utf-8"))["complete"] is True


def test_files_are_copied_and_a_second_call_does_nothing(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    given = copies(tmp_path / "store", model__weights="w", page="p")
    assert write_output(out, given)
    assert content(out) == {"model/weights.txt": "w", "page.txt": "p"}
    assert is_complete(out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert not write_output(out, given)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times


def test_a_later_output_replaces_an_earlier_one_and_keeps_the_users_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_output(out, copies(tmp_path / "store", model__weights="w", model__int8="i", page="p"))
    (out / "notes.md").write_text("mine", encoding="utf-8")
    assert write_output(out, copies(tmp_path / "store", model__weights="w2", page="p"))
    assert content(out) == {"model/weights.txt": "w2", "page.txt": "p", "notes.md": "mine"}


@pytest.mark.parametrize("name", ["page.txt", "new.txt"])
def test_a_file_that_is_the_users_is_not_replaced(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_output(out, copies(tmp_path / "store", page="p"))
    (out / name).write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"{name} was not written by pkd, or was changed since"):
        write_output(out, copies(tmp_path / "store", page="p2", new="n"))
    assert (out / name).read_text(encoding="utf-8") == "mine"


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    check_output(out)
    (out / "thesis.tex").write_text("mine", encoding="utf-8")
    for refuses in (check_output, lambda folder: write_output(folder, copies(tmp_path / "store", page="p"))):
        with pytest.raises(ConfigError, match=r"--out needs a new or empty folder"):
            refuses(out)
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"needs a folder, and .*out is a file"):
        check_output(tmp_path / "out")


@pytest.mark.parametrize("text", ["{}", "[", '{"format": 2, "complete": true, "files": [], "earlier": []}'])
def test_a_record_that_cannot_be_read_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"pkd\.json: expected the record of an earlier run's output"):
        check_output(tmp_path)


def test_a_record_leads_to_no_file_outside(tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "mine.txt"
    out.mkdir()
    outside.write_text("mine", encoding="utf-8")
    entry = {"name": "../mine.txt", "size": 4, "xxh3": hash_file(outside)}
    record = {"format": 1, "complete": True, "files": [entry], "earlier": []}
    (out / RECORD).write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read as one"):
        write_output(out, copies(tmp_path / "store", page="p"))
    assert outside.exists()


@pytest.mark.parametrize("num_copied", [0, 1, 2])
def test_what_was_killed_is_marked_and_completed(
    num_copied: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_output(out, copies(tmp_path / "store", first="1", second="2", old="o"))
    given = copies(tmp_path / "store", first="one", second="two", third="three")
    copy, done = output_folder._copy, []

    def killed(source: Path, path: Path, entry: FileEntry) -> None:
        if len(done) == num_copied:
            raise KeyboardInterrupt
        done.append(path)
        copy(source, path, entry)

    monkeypatch.setattr(output_folder, "_copy", killed)
    with pytest.raises(KeyboardInterrupt):
        write_output(out, given)
    assert not is_complete(out)
    monkeypatch.undo()
    # Another result than the one that was interrupted.
    last = copies(tmp_path / "store", first="one", second="deux")
    assert write_output(out, last)
    assert is_complete(out)
    assert content(out) == {"first.txt": "one", "second.txt": "deux"}


def test_a_damaged_source_is_not_copied(tmp_path: Path) -> None:
    given = copies(tmp_path / "store", page="p")
    given["page.txt"].source.write_text("q", encoding="utf-8")
    with pytest.raises(DamagedError, match="has other bytes than were published"):
        write_output(tmp_path / "out", given)
    assert content(tmp_path / "out") == {}
    assert not is_complete(tmp_path / "out")


FIRST = {"model__weights": "old weights", "model__int8": "old int8", "page": "page"}
SECOND = {"model__weights": "new weights", "page": "page", "card": "card"}


def first_output(folder: Path) -> None:
    write_output(folder / "out", copies(folder / "store", **FIRST))
    (folder / "out" / "notes.md").write_text("mine", encoding="utf-8")


def second_output(folder: Path) -> None:
    write_output(folder / "out", copies(folder / "store2", **SECOND))


def test_wherever_it_is_killed_it_is_marked_and_the_next_call_completes_it(tmp_path: Path) -> None:
    whole = {"model/weights.txt": "new weights", "page.txt": "page", "card.txt": "card", "notes.md": "mine"}
    folders = kill_at_each_operation(tmp_path, first_output, second_output)
    assert len(folders) > 10
    for folder in folders:
        if is_complete(folder / "out"):
            before = {"model/weights.txt": "old weights", "model/int8.txt": "old int8", "page.txt": "page"}
            assert content(folder / "out") in ({**before, "notes.md": "mine"}, whole), folder.name
        second_output(folder)
        assert is_complete(folder / "out")
        assert content(folder / "out") == whole, folder.name
