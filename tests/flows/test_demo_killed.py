"""`pkd demo` may be killed while it writes its data and its model: the next one goes on and has the same bytes."""

from pathlib import Path
from unittest import mock

import pytest
from kill_points import kill_at_each_operation

from flows.demo import demo_request
from flows.demo_data import DEMO_TASK
from pkd_core.errors import StoreError

SIZES = {"num_train": 60, "num_dev": 20, "num_test": 10, "num_unlabelled": 30}
PRETRAINING = {"num_sentences": 32, "num_epochs": 1}


def write_demo(workspace: Path) -> None:
    with mock.patch("flows.demo._SIZES", SIZES), mock.patch("flows.demo._PRETRAINING", PRETRAINING):
        demo_request(workspace)


def warm_up(workspace: Path) -> None:
    """Import what the demo imports only when it writes: these files are not the demo's."""
    if workspace.name == "1":
        write_demo(workspace.parent.parent / "complete")


def files(folder: Path) -> dict[str, bytes]:
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    return {name: content for name, content in found.items() if not name.startswith(".demo.")}


@pytest.mark.slow
def test_a_demo_killed_at_any_operation_leaves_complete_folders_or_none_and_the_next_one_works(
    tmp_path: Path,
) -> None:
    (tmp_path / "killed").mkdir()
    workspaces = kill_at_each_operation(tmp_path / "killed", warm_up, write_demo)
    assert len(workspaces) > 30
    expected = files(tmp_path / "complete")
    seen = set()
    for workspace in workspaces:
        for name in (f"data_raw/{DEMO_TASK}/", "model/"):
            part = {key: value for key, value in files(workspace).items() if key.startswith(name)}
            assert not part or part == {key: value for key, value in expected.items() if key.startswith(name)}
            seen.add((name, bool(part)))
        write_demo(workspace)
        assert files(workspace) == expected
    assert len(seen) == 4, "killed before and after each folder"


def test_a_file_where_the_demo_needs_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("not a folder", encoding="utf-8")
    with pytest.raises(StoreError, match=f"write {tmp_path}, .*: move away the file"):
        write_demo(tmp_path)
    assert not list(tmp_path.glob("model.part"))
