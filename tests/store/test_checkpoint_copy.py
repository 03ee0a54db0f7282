"""What an interrupted stage continues from is found by another machine: whole, with the same inputs, the newest."""

import json
import logging
import time
from pathlib import Path

import pytest
from machines import Killed, Machines
from shared_stage import ADDRESS, FILES, INPUTS, KEYS, attempt_of, compute, contents, finish, keys_of

from pkd_core.store.finished_files import FinishedFiles
from pkd_core.store.stage_store import StageStore
from pkd_core.store.work_folder import resume_folder


def write_checkpoint(work: Path, step: int, best: bytes = b"best") -> None:
    """Write a checkpoint as a training does, with a companion that is in the work folder too."""
    folder = resume_folder(work) / "checkpoint"
    folder.mkdir(exist_ok=True)
    (folder / "tensors").write_bytes(b"%d" % step * 100)
    (folder / "model.safetensors").write_bytes(best)
    (work / "model.safetensors").write_bytes(best)
    half = resume_folder(work) / "checkpoint.part"
    half.mkdir(exist_ok=True)
    (half / "tensors").write_bytes(b"half")


def train_to(store: StageStore, step: int) -> None:
    """Go on to a step, send a checkpoint, and be killed."""
    with pytest.raises(Killed), store.writing(ADDRESS, INPUTS) as work:
        write_checkpoint(work, step)
        store.keep(ADDRESS)
        raise Killed


def step_of(store: StageStore, inputs: dict[str, str] = INPUTS) -> int | None:
    """Return the step that a writer would go on from."""
    step = None
    with store.writing(ADDRESS, inputs) as work:
        path = resume_folder(work) / "checkpoint" / "tensors"
        if path.exists():
            step = int(path.read_bytes()[:1])
            assert sorted(one.name for one in resume_folder(work).iterdir()) in (
                ["attempt.json", "checkpoint", "inputs.json"],
                ["attempt.json", "checkpoint", "checkpoint.part", "inputs.json"],
            )
            assert (path.parent / "model.safetensors").read_bytes() == b"best"
    return step


def test_another_machine_goes_on_from_the_newest_checkpoint(sharing: Machines) -> None:
    train_to(sharing.store("a"), 1)
    train_to(sharing.store("a"), 2)
    store, place = sharing.failing("b")
    assert step_of(store) == 2
    assert len(place.keys("download")) == 2
    assert step_of(store) == 2
    assert len(place.keys("download")) == 2, "it has it by now"
    train_to(store, 3)
    assert step_of(sharing.store("a")) == 3, "the machine that was first goes on from the second"
    assert step_of(store) == 3


def test_a_machine_goes_on_from_its_own_checkpoint_without_downloading(sharing: Machines) -> None:
    store, place = sharing.failing("a")
    train_to(store, 1)
    with pytest.raises(Killed), store.writing(ADDRESS, INPUTS) as work:
        write_checkpoint(work, 2)
        raise Killed  # before it was sent
    assert step_of(store) == 2
    assert place.keys("download") == []


def test_a_checkpoint_from_other_inputs_is_not_used(sharing: Machines) -> None:
    train_to(sharing.store("a"), 1)
    assert step_of(sharing.store("b"), {"tokens": "bb"}) is None
    assert step_of(sharing.store("c")) == 1


@pytest.mark.parametrize("damage", ["gone", "flipped", "pointer", "inputs", "key"])
def test_a_checkpoint_that_is_not_whole_gives_way_to_the_one_before(
    damage: str, sharing: Machines, caplog: pytest.LogCaptureFixture
) -> None:
    train_to(sharing.store("a"), 1)
    if sharing.place.url.startswith("s3:"):
        time.sleep(1.1)  # its times are in whole seconds
    store, place = sharing.failing("b")
    train_to(store, 2)
    pointer = next(key for key in place.keys("put") if key.endswith("resume.json"))
    value = json.loads((sharing.place.read(pointer) or (b"", ""))[0])
    tensors = next(one["key"] for one in value["files"] if one["name"].endswith("tensors"))
    match damage:
        case "gone":
            sharing.place.delete(tensors)
        case "flipped":
            sharing.place.put(tensors, b"3" * 100)
        case "pointer":
            sharing.place.put(pointer, b"{")
        case "inputs":
            sharing.place.put(pointer, json.dumps(value | {"inputs": 7}).encode())
        case "key":
            value["files"][0]["key"] = "data_feat/other"
            sharing.place.put(pointer, json.dumps(value).encode())
    with caplog.at_level(logging.INFO):
        assert step_of(sharing.store("c")) == 1
    assert f"{pointer}: this checkpoint cannot be used (" in caplog.text
    assert f"RTE teacher: goes on from a checkpoint in {sharing.url}" in caplog.text


def test_equal_files_are_sent_once_and_old_checkpoints_deleted_but_the_last(sharing: Machines) -> None:
    store, place = sharing.failing("a")
    for step in (1, 2, 3):
        train_to(store, step)
    assert len(place.keys("upload")) == 4, "tensors of three steps, and once the best weights"
    left = [key for key in keys_of(sharing.place) if "/resume/" in key]
    assert len(left) == 3, "those of steps 2 and 3"
    compute(store)
    attempt = attempt_of(store)
    assert keys_of(sharing.place) == [
        *(f"attempts/{attempt}/files/{name}" for name in sorted(FILES)),
        "manifest.json",
    ]


def test_finished_files_are_sent_once_and_published_where_they_are(sharing: Machines) -> None:
    store, place = sharing.failing("a")
    with pytest.raises(Killed), store.writing(ADDRESS, INPUTS) as work:
        finished = FinishedFiles(work, resume_folder(work), keep=lambda: store.keep(ADDRESS))
        for number in (1, 2):
            (work / f"shard-{number}").write_bytes(b"%d" % number * 50)
            finished.add(f"shard-{number}")
        (work / "shard-3").write_bytes(b"half")
        raise Killed
    other, _ = sharing.failing("b")
    with other.writing(ADDRESS, INPUTS) as work:
        assert contents(work) == {"shard-1": b"1" * 50, "shard-2": b"2" * 50}
        again = FinishedFiles(work, resume_folder(work))
        assert [again.is_finished(f"shard-{number}") for number in (1, 2, 3)] == [True, True, False]
    place.calls.clear()
    with store.writing(ADDRESS, INPUTS) as work:
        (work / "shard-3").write_bytes(b"3" * 50)
        finish(store)
    files = KEYS.files(attempt_of(store))
    assert place.keys("upload") == [f"{files}shard-3"]
    assert contents(sharing.store("c").fetch(ADDRESS)) == {
        f"shard-{number}": b"%d" % number * 50 for number in (1, 2, 3)
    }


def test_a_download_of_a_checkpoint_that_was_cut_leaves_the_folders_as_they_were(sharing: Machines) -> None:
    train_to(sharing.store("a"), 1)
    store, place = sharing.failing("b")

    def die(*_: object) -> None:
        raise Killed

    download = place.download
    place.download = die  # type: ignore[method-assign]
    with pytest.raises(Killed), store.writing(ADDRESS, INPUTS):
        pass
    place.download = download  # type: ignore[method-assign]
    assert step_of(store) == 1


def test_a_stage_without_anything_to_continue_from_sends_nothing(sharing: Machines) -> None:
    store, place = sharing.failing("a")
    with store.writing(ADDRESS, INPUTS) as work:
        (work / "half").write_bytes(b"1")
        place.calls.clear()
        store.keep(ADDRESS)
        assert place.calls == []
