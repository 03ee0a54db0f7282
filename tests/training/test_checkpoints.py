"""A checkpoint comes back whole with its companions, or not at all; there is never more than one to keep."""

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pkd_core.training.checkpoints import Checkpoint, Checkpoints, checkpoint_folder


def made(number: int) -> Checkpoint:
    return Checkpoint({"weight": torch.full((4, 3), float(number))}, {"step": number, "history": [0.1]})


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    (tmp_path / "best").write_text("first", encoding="utf-8")
    return Checkpoints(tmp_path, 1e9, companions=("best", "absent"))


def test_the_newest_comes_back_and_no_other_is_kept(checkpoints: Checkpoints, tmp_path: Path) -> None:
    assert checkpoints.load() is None
    for number in (1, 2, 3):
        checkpoints.save(made(number))
    loaded = checkpoints.load()
    assert loaded is not None
    assert loaded.state == {"step": 3, "history": [0.1]}
    assert torch.equal(loaded.tensors["weight"], torch.full((4, 3), 3.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "checkpoint"]
    checkpoints.discard()
    assert checkpoints.load() is None
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


@pytest.mark.parametrize("has_links", [True, False])
def test_companions_are_put_back_as_they_were(
    checkpoints: Checkpoints, tmp_path: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted", source, target)

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    checkpoints.save(made(1))
    (tmp_path / "new").write_text("second", encoding="utf-8")
    (tmp_path / "new").replace(tmp_path / "best")
    (tmp_path / "absent").write_text("made later", encoding="utf-8")
    assert checkpoints.load() is not None
    assert (tmp_path / "best").read_text(encoding="utf-8") == "first"
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "gone"])
def test_a_damaged_checkpoint_is_not_used_and_said_so(
    checkpoints: Checkpoints, tmp_path: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(made(1))
    path = checkpoint_folder(tmp_path) / name
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "gone":
        path.unlink()
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"truncated": content[:-1], "flipped": flipped, "empty": b""}[damage])
    if (name, damage) == ("state.json", "flipped"):
        # One changed character may still be JSON; what counts is that the tensors' hash or the form is wrong.
        path.write_bytes(content.replace(b'"sha256": "', b'"sha256": "0'))
    assert checkpoints.load() is None
    assert "cannot be used" in caplog.text


def test_a_kill_between_the_two_renames_leaves_the_one_before(
    checkpoints: Checkpoints, tmp_path: Path
) -> None:
    checkpoints.save(made(1))
    folder = checkpoint_folder(tmp_path)
    folder.rename(folder.with_name("checkpoint.before"))
    half = folder.with_name("checkpoint.part")
    half.mkdir()
    save_file(dict(made(2).tensors), half / "tensors.safetensors")
    loaded = checkpoints.load()
    assert loaded is not None
    assert loaded.state["step"] == 1
    checkpoints.save(made(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "checkpoint"]


def test_one_is_due_when_its_time_has_come(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path, 0.0).is_due
    assert not Checkpoints(tmp_path, 60.0).is_due
