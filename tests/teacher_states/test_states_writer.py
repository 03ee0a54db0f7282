"""A writer of teacher states leaves complete shards only, whatever interrupts it."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from stored_rows import SHAPE, Rows, names, write_all

from pkd_core.errors import StoreError
from pkd_core.store.finished_files import FinishedFiles
from pkd_core.teacher_states.format import StatesShape, forecast_bytes, open_shard, shard_path
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.teacher_states.writer import StatesWriter


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_forecast_is_the_size_on_disk(tmp_path: Path, dtype: str) -> None:
    shape = StatesShape(4, 64, 3, dtype)
    write_all(tmp_path, Rows(3000, shape=shape), shape=shape)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert forecast_bytes(shape, 3000) == pytest.approx(size, rel=0.02)
    # An id of 8 bytes, three logits of 4 bytes, and the states.
    assert forecast_bytes(shape, 3000) == 3000 * (8 + 12 + 4 * 64 * (2 if dtype == "float16" else 4))


def test_an_interrupted_writer_leaves_complete_shards_and_continues_after_them(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    resume = tmp_path_factory.mktemp("resume")
    rows = Rows(3500)
    with (
        pytest.raises(KeyboardInterrupt),
        StatesWriter(tmp_path, SHAPE, 3500, 1500, FinishedFiles(tmp_path, resume)) as writer,
    ):
        rows.write(writer, stop=2000)
        raise KeyboardInterrupt
    assert names(tmp_path) == ["states-00000.arrow"]
    kept = shard_path(tmp_path, 0).stat().st_mtime_ns
    with StatesWriter(tmp_path, SHAPE, 3500, 1500, FinishedFiles(tmp_path, resume)) as writer:
        assert writer.rows_done == 1500
        rows.write(writer)
    assert shard_path(tmp_path, 0).stat().st_mtime_ns == kept
    assert names(tmp_path) == [shard_path(tmp_path, number).name for number in range(3)]
    targets = TeacherStates.open(tmp_path).gather(torch.from_numpy(rows.example_ids), [2])
    np.testing.assert_array_equal(targets.cls_states_BMD[:, 0].numpy(), rows.cls_states[:, 1])
    assert StatesWriter(tmp_path, SHAPE, 3500, 1500, FinishedFiles(tmp_path, resume)).rows_done == 3500


def test_each_shard_is_recorded_when_it_is_to_be_kept(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    resume = tmp_path_factory.mktemp("resume")
    kept: list[list[str]] = []

    def keep() -> None:
        kept.append([name for name in names(tmp_path) if FinishedFiles(tmp_path, resume).is_finished(name)])

    finished = FinishedFiles(tmp_path, resume, keep=keep)
    with StatesWriter(tmp_path, SHAPE, 3500, 1500, finished) as writer:
        Rows(3500).write(writer)
    shards = [shard_path(tmp_path, number).name for number in range(3)]
    assert kept == [shards[:1], shards[:2], shards]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
def test_a_damaged_shard_alone_is_written_again(
    damage: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    resume = tmp_path_factory.mktemp("resume")
    with StatesWriter(tmp_path, SHAPE, 3500, 1500, FinishedFiles(tmp_path, resume)) as writer:
        Rows(3500).write_todo(writer)
    path = shard_path(tmp_path, 1)
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.unlink()
    if damage != "gone":
        path.write_bytes({"truncated": content[:10_000], "flipped": flipped}[damage])
    with StatesWriter(tmp_path, SHAPE, 3500, 1500, FinishedFiles(tmp_path, resume)) as writer:
        assert (writer.rows_done, writer.todo) == (2000, [range(1500, 3000)])
        Rows(3500).write_todo(writer)
    assert path.read_bytes() == content


def test_several_writers_divide_the_shards_and_write_the_same_files(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = tmp_path_factory.mktemp("whole")
    write_all(whole, Rows(3500), shard_rows=1000)
    writers = [StatesWriter(tmp_path, SHAPE, 3500, 1000, share=(number, 3)) for number in range(3)]
    assert [writer.todo for writer in writers] == [
        [range(0, 1000), range(3000, 3500)],
        [range(1000, 2000)],
        [range(2000, 3000)],
    ]
    for writer in reversed(writers):
        with writer:
            Rows(3500).write_todo(writer)
    assert names(tmp_path) == names(whole) == [shard_path(whole, number).name for number in range(4)]
    for path in whole.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [1e5, -1e5, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 17, 47])
def test_states_out_of_float16s_range_are_an_error_that_names_the_setting(
    tmp_path: Path, value: float, position: int
) -> None:
    rows = Rows(2)
    states = np.zeros((2, 3, 8), np.float32)
    states.flat[position] = value
    with StatesWriter(tmp_path, SHAPE, 2) as writer:
        message = (
            "expected finite teacher states, got some out of the range of float16; "
            "set states.dtype=float32, or train the teacher again"
        )
        with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
            writer.write(rows.example_ids, rows.logits, states)
        rows.write(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's always full device")
def test_a_full_disk_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "states-00000.arrow.part").symlink_to("/dev/full")
    message = (
        f"pkd needs to write teacher states to {tmp_path}, but the system answers 'No space left on device': "
        "free some disk space and run again (what is finished is kept)."
    )
    with (
        pytest.raises(StoreError, match=f"^{re.escape(message)}$"),
        StatesWriter(tmp_path, StatesShape(3, 512, 2, "float32"), 1024) as writer,
    ):
        Rows(1024, shape=StatesShape(3, 512, 2, "float32")).write(writer)


@pytest.mark.parametrize(
    ("step", "sizes"),
    [(3500, [[1024, 476], [1024, 476], [500]]), (1000, [[1000, 500], [500, 1000], [500]])],
)
def test_a_record_batch_ends_with_its_call_its_shard_or_after_1024_rows(
    tmp_path: Path, step: int, sizes: list[list[int]]
) -> None:
    with StatesWriter(tmp_path, SHAPE, 3500, 1500) as writer:
        Rows(3500).write(writer, step)
    readers = [pa.ipc.open_file(str(path)) for path in sorted(tmp_path.iterdir())]
    assert [
        [len(reader.get_batch(number)) for number in range(reader.num_record_batches)] for reader in readers
    ] == sizes


def test_a_new_shard_replaces_no_complete_one_until_it_is_full(tmp_path: Path) -> None:
    rows = Rows(100)
    with pytest.raises(KeyboardInterrupt), StatesWriter(tmp_path, SHAPE, 100, 60) as writer:
        rows.write(writer, step=20, stop=40)
        assert names(tmp_path) == ["states-00000.arrow.part"]
        rows.write(writer, step=20, stop=60)
        assert names(tmp_path) == ["states-00000.arrow"]
        raise KeyboardInterrupt
    assert len(open_shard(shard_path(tmp_path, 0))) == 60


def test_logits_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    rows = Rows(2)
    rows.logits[1, 1] = np.inf
    with pytest.raises(StoreError, match="finite"), StatesWriter(tmp_path, SHAPE, 2) as writer:
        rows.write(writer)


def test_a_writer_that_ends_with_missing_rows_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="wrote 90 of 100 rows"),
        StatesWriter(tmp_path, SHAPE, 100) as writer,
    ):
        Rows(90).write(writer)
    assert not shard_path(tmp_path, 0).exists()
