"""A checkpoint is loaded completely, with its companions, or not at all; only the newest is kept."""

import errno
import itertools
import json
import logging
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pkd_core.errors import StoreError
from pkd_core.training import checkpoints as checkpoints_module
from pkd_core.training.checkpoint_state import read_step
from pkd_core.training.checkpoints import (
    Checkpoint,
    Checkpoints,
    has_checkpoint,
    pack_tensors,
    unpack_tensors,
)


def checkpoint_of(number: int) -> Checkpoint:
    return Checkpoint({"weight": torch.full((4, 3), float(number))}, {"step": number, "history": [0.1]})


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    (tmp_path / "best").write_text("first", encoding="utf-8")
    return Checkpoints(tmp_path, tmp_path, 1e9, companions=("best", "absent"))


def test_the_newest_checkpoint_is_loaded_and_no_other_is_kept(
    checkpoints: Checkpoints, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert checkpoints.load() is None
    assert not caplog.records
    for number in (1, 2, 3):
        checkpoints.save(checkpoint_of(number))
    loaded = checkpoints.load()
    assert loaded is not None
    assert loaded.state == {"step": 3, "history": [0.1]}
    assert torch.equal(loaded.tensors["weight"], torch.full((4, 3), 3.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "checkpoint"]
    for name in ("checkpoint.before", "checkpoint.part"):
        shutil.copytree(checkpoints.folder, tmp_path / name)


def test_the_newest_step_is_read_without_the_tensors(checkpoints: Checkpoints, tmp_path: Path) -> None:
    assert read_step(tmp_path) is None
    for number in (4, 7):
        checkpoints.save(checkpoint_of(number))
    (checkpoints.folder / "tensors.safetensors").write_bytes(b"damaged")
    assert read_step(tmp_path) == 7
    (checkpoints.folder / "state.json").write_text("{}", encoding="utf-8")
    assert read_step(tmp_path) is None


@pytest.mark.parametrize("has_links", [True, False])
def test_companions_are_restored_as_they_were(
    checkpoints: Checkpoints, tmp_path: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted", source, target)

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    checkpoints.save(checkpoint_of(1))
    assert (checkpoints.folder / "best").samefile(tmp_path / "best") == has_links
    (tmp_path / "new").write_text("second", encoding="utf-8")
    (tmp_path / "new").replace(tmp_path / "best")
    (tmp_path / "absent").write_text("written later", encoding="utf-8")
    assert checkpoints.load() is not None
    assert (tmp_path / "best").read_text(encoding="utf-8") == "first"
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "best"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "gone"])
def test_a_damaged_checkpoint_is_not_used_and_a_warning_is_logged(
    checkpoints: Checkpoints, tmp_path: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(checkpoint_of(1))
    path = tmp_path / "checkpoint" / name
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "gone":
        path.unlink()
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"truncated": content[:-1], "flipped": flipped, "empty": b""}[damage])
    assert checkpoints.load() is None
    assert warning_of(caplog).startswith(f"{path.parent}: this training checkpoint cannot be used (")


def warning_of(caplog: pytest.LogCaptureFixture) -> str:
    """Return the only record, a warning, and forget it."""
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    caplog.clear()
    return record.getMessage()


def test_no_changed_bit_of_the_state_is_used(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.save(checkpoint_of(1))
    path = tmp_path / "checkpoint" / "state.json"
    content = path.read_bytes()
    for position, bit in itertools.product(range(len(content)), (1, 2, 32)):
        path.write_bytes(content[:position] + bytes([content[position] ^ bit]) + content[position + 1 :])
        loaded = checkpoints.load()
        # A space may become another white space, and an escaped letter the same one.
        assert loaded is None or loaded.state == checkpoint_of(1).state
    path.write_bytes(content)
    assert checkpoints.load() is not None


def test_valid_files_of_another_content_are_not_used(
    checkpoints: Checkpoints, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(checkpoint_of(1))
    folder = tmp_path / "checkpoint"
    content = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    without_state = {name: content[name] for name in ("format", "files", "sha256")}
    others: list[Any] = [[], {}, without_state, content | {"format": 1}]
    for other in others:
        (folder / "state.json").write_text(json.dumps(other), encoding="utf-8")
        assert checkpoints.load() is None
        message = warning_of(caplog)
    reason = "its state.json is not what was written, or of another version of pkd"
    expected = f"{folder}: this training checkpoint cannot be used ({reason}); continuing without it"
    assert message == expected
    (folder / "state.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "added").write_bytes(b"")
    assert checkpoints.load() is None
    assert "its added is not what was written" in warning_of(caplog)


def test_a_checkpoint_is_not_written_once_an_input_has_changed(tmp_path: Path) -> None:
    def fail() -> None:
        raise StoreError("an input has changed")

    checkpoints = Checkpoints(tmp_path, tmp_path, 1e9, check_inputs=fail)
    with pytest.raises(StoreError, match="an input has changed"):
        checkpoints.save(checkpoint_of(1))
    assert not has_checkpoint(tmp_path)


def test_a_checkpoint_is_there_when_it_is_to_be_kept(tmp_path: Path) -> None:
    kept: list[int | None] = []
    checkpoints = Checkpoints(tmp_path, tmp_path, 1e9, keep=lambda: kept.append(read_step(tmp_path)))
    for number in (1, 2):
        checkpoints.save(checkpoint_of(number))
    assert kept == [1, 2]


def test_a_checkpoint_exists_also_between_the_two_renames(checkpoints: Checkpoints, tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path)
    checkpoints.save(checkpoint_of(1))
    assert has_checkpoint(tmp_path)
    checkpoints.folder.rename(checkpoints.folder.with_name("checkpoint.before"))
    assert has_checkpoint(tmp_path)


def test_a_kill_between_the_two_renames_leaves_the_previous_checkpoint(
    checkpoints: Checkpoints, tmp_path: Path
) -> None:
    checkpoints.save(checkpoint_of(1))
    folder = tmp_path / "checkpoint"
    folder.rename(folder.with_name("checkpoint.before"))
    partial = folder.with_name("checkpoint.part")
    partial.mkdir()
    save_file(dict(checkpoint_of(2).tensors), partial / "tensors.safetensors")
    loaded = checkpoints.load()
    assert loaded is not None
    assert loaded.state["step"] == 1
    checkpoints.save(checkpoint_of(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "checkpoint"]


def test_a_checkpoint_is_due_the_given_seconds_after_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("pkd_core.training.checkpoints.time", SimpleNamespace(monotonic=lambda: clock[0]))
    checkpoints = Checkpoints(tmp_path, tmp_path, 60.0)
    due = {}
    for clock[0] in (100.0, 159.0, 160.0, 170.0):
        due[clock[0]] = checkpoints.is_due
    checkpoints.save(checkpoint_of(1))
    for clock[0] in (171.0, 229.0, 230.0):
        due[clock[0]] = checkpoints.is_due
    assert [seconds for seconds, is_due in due.items() if is_due] == [160.0, 170.0, 230.0]


def test_packed_tensors_restore_the_model_and_the_optimizer() -> None:
    def stepped(seed: int, num_steps: int) -> tuple[torch.nn.Linear, torch.optim.AdamW]:
        model = torch.nn.Linear(3, 2)
        optimizer = torch.optim.AdamW([{"params": [model.weight]}, {"params": [model.bias]}], lr=0.1)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(num_steps):
            for weight in model.parameters():
                weight.grad = torch.randn(weight.shape, generator=generator)
            optimizer.step()
        return model, optimizer

    (model, optimizer), (other, other_optimizer) = stepped(1, 3), stepped(2, 0)
    unpack_tensors(pack_tensors(model, optimizer), other, other_optimizer)
    assert torch.equal(other.weight, model.weight)
    expected, states = optimizer.state_dict()["state"], other_optimizer.state_dict()["state"]
    assert states.keys() == expected.keys() == {0, 1}
    for number, name in itertools.product(expected, ("step", "exp_avg", "exp_avg_sq")):
        assert torch.equal(states[number][name], expected[number][name])


def test_tensors_that_are_not_contiguous_are_saved(checkpoints: Checkpoints) -> None:
    transposed = torch.arange(6.0).view(2, 3).T
    checkpoints.save(Checkpoint({"weight": transposed}, {}))
    loaded = checkpoints.load()
    assert loaded is not None
    assert torch.equal(loaded.tensors["weight"], transposed)


def test_a_full_disk_is_an_error_that_leaves_the_previous_checkpoint(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    checkpoints.save(checkpoint_of(1))
    monkeypatch.setattr("pkd_core.training.checkpoints.save_file", fail)
    with pytest.raises(StoreError) as caught:
        checkpoints.save(checkpoint_of(2))
    assert str(caught.value).startswith(
        f"pkd needs to write a training checkpoint to {tmp_path}, but the system"
    )
    loaded = checkpoints.load()
    assert loaded is not None
    assert loaded.state["step"] == 1


@pytest.mark.parametrize("num_renames", [0, 1, 2])
def test_a_kill_while_a_checkpoint_is_published_leaves_a_complete_one_flushed_to_the_disk(
    checkpoints: Checkpoints, tmp_path: Path, num_renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[str, list[str]]] = []
    renamed: list[Path] = []
    remove = shutil.rmtree

    def observed_rename(source: Path, target: Path) -> None:
        if len(renamed) == num_renames:
            raise KeyboardInterrupt
        assert flushed, "the new checkpoint is flushed before the first rename"
        renamed.append(source)
        source.rename(target)

    def observed_remove(folder: Path, **options: Any) -> None:
        if len(renamed) == 2:
            raise KeyboardInterrupt
        remove(folder, **options)

    def observed_fsync(folder: Path) -> None:
        flushed.append((folder.name, sorted(path.name for path in folder.iterdir())))

    checkpoints.save(checkpoint_of(1))
    (tmp_path / "best").unlink()
    (tmp_path / "best").write_text("second", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints_module, "fsync_tree", observed_fsync)
        patch.setattr(checkpoints_module, "durable_rename", observed_rename)
        patch.setattr(shutil, "rmtree", observed_remove)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(checkpoint_of(2))
    assert flushed == [("checkpoint.part", ["best", "state.json", "tensors.safetensors"])]
    resumed = Checkpoints(tmp_path, tmp_path, 1e9, companions=("best", "absent"))
    loaded = resumed.load()
    assert loaded is not None
    newest = 2 if num_renames == 2 else 1
    assert loaded.state["step"] == newest
    assert (tmp_path / "best").read_text(encoding="utf-8") == ("first", "second")[newest - 1]
    resumed.save(checkpoint_of(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "checkpoint"]
