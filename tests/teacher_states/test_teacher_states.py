"""Teacher states are read as they were written, by example id, from plain Arrow files."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_rows import SHAPE, Rows, names, write_all

from pkd_core.errors import StoreError
from pkd_core.teacher_states.format import StatesShape, shard_path
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.teacher_states.source import ResidentTeacherSource, StoredTeacherSource, open_teacher_source


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.lists(st.integers(1, 3), unique=True))
def test_gather_equals_the_rows_written_for_any_order_of_ids(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, layers: list[int]
) -> None:
    rows = Rows(3500, seed=seed)
    states = TeacherStates.open(write_all(tmp_path_factory.mktemp("states"), rows))
    assert len(states) == 3500
    picked = np.random.default_rng(seed).integers(0, 3500, size)
    targets = states.gather(torch.from_numpy(rows.example_ids[picked]), layers)
    np.testing.assert_array_equal(targets.logits_BC.numpy(), rows.logits[picked])
    expected = rows.cls_states[picked][:, np.array(layers, dtype=int) - 1]
    np.testing.assert_array_equal(targets.cls_states_BMD.numpy(), expected)
    assert targets.cls_states_BMD.dtype == torch.float16
    assert targets.logits_BC.dtype == torch.float32


def test_shards_are_plain_arrow_files_with_their_shape_as_metadata(tmp_path: Path) -> None:
    rows = Rows(3500)
    write_all(tmp_path, rows)
    assert names(tmp_path) == ["states-00000.arrow", "states-00001.arrow", "states-00002.arrow"]
    table = pa.concat_tables(pa.ipc.open_file(str(path)).read_all() for path in sorted(tmp_path.iterdir()))
    assert table.schema.metadata == {b"num_layers": b"3", b"hidden_size": b"8", b"num_outputs": b"2"}
    types = {
        "example_id": pa.int64(),
        "logits": pa.list_(pa.float32(), 2),
        "cls_states": pa.list_(pa.float16(), 24),
    }
    assert list(table.schema) == [pa.field(name, kind, nullable=False) for name, kind in types.items()]
    assert table["example_id"].to_pylist() == rows.example_ids.tolist()
    assert table["cls_states"][3499].as_py() == rows.cls_states[3499].ravel().tolist()
    table.validate(full=True)


def test_float32_states_are_stored_exactly(tmp_path: Path) -> None:
    shape = StatesShape(3, 8, 1, "float32")
    rows = Rows(10, shape=shape)
    write_all(tmp_path, rows, shape=shape)
    targets = TeacherStates.open(tmp_path).gather(torch.from_numpy(rows.example_ids), [1, 2, 3])
    np.testing.assert_array_equal(targets.cls_states_BMD.numpy(), rows.cls_states)


@pytest.mark.parametrize("kept", [0, 10, 5_000, -1])
def test_a_truncated_shard_is_an_error_at_opening(tmp_path: Path, kept: int) -> None:
    write_all(tmp_path, Rows(3500))
    size = shard_path(tmp_path, 1).stat().st_size
    os.truncate(shard_path(tmp_path, 1), kept % size)
    with pytest.raises(StoreError, match=r"states-00001\.arrow: expected a complete Arrow file"):
        TeacherStates.open(tmp_path)


def test_missing_shards_are_an_error_at_opening(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="got 0"):
        TeacherStates.open(tmp_path)
    write_all(tmp_path, Rows(3500))
    shard_path(tmp_path, 1).unlink()
    with pytest.raises(StoreError, match="numbered from 0, got 2"):
        TeacherStates.open(tmp_path)


def test_foreign_arrow_files_and_mixed_shapes_are_errors_at_opening(tmp_path: Path) -> None:
    write_all(tmp_path, Rows(10))
    other = tmp_path / "other"
    other.mkdir()
    write_all(other, Rows(10, shape=StatesShape(2, 8, 2, "float16")), shape=StatesShape(2, 8, 2, "float16"))
    shard_path(other, 0).rename(shard_path(tmp_path, 1))
    with pytest.raises(StoreError, match="of one shape"):
        TeacherStates.open(tmp_path)
    for table in (
        pa.table({"x": [1]}),
        pa.table({"cls_states": [1]}).replace_schema_metadata(SHAPE.schema().metadata),
        pa.table({"x": [1]}).replace_schema_metadata({"num_layers": "many"}),
        pa.ipc.open_file(str(shard_path(tmp_path, 0))).read_all().drop_columns(["logits"]),
    ):
        with pa.ipc.new_file(str(shard_path(tmp_path, 1)), table.schema) as writer:
            writer.write_table(table)
        with pytest.raises(StoreError, match="expected the columns"):
            TeacherStates.open(tmp_path)


def test_missing_and_duplicate_examples_are_errors(tmp_path: Path) -> None:
    rows = Rows(10)
    states = TeacherStates.open(write_all(tmp_path, rows))
    for missing in (-1, 10_000, next(number for number in range(30) if number not in rows.example_ids)):
        with pytest.raises(StoreError, match=f"states of example {missing}, found none"):
            states.gather(torch.tensor([rows.example_ids[0], missing]), [1])
    rows.example_ids[3] = rows.example_ids[7]
    shard_path(tmp_path, 0).unlink()
    write_all(tmp_path, rows)
    with pytest.raises(StoreError, match="twice"):
        TeacherStates.open(tmp_path)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_states_that_are_read(tmp_path: Path) -> None:
    shape = StatesShape(12, 768, 2, "float16")
    rows = Rows(4000, shape=shape)
    rows.example_ids = np.arange(4000)
    write_all(tmp_path, rows, shape=shape)
    script = """
import re, sys, torch
from pathlib import Path
from pkd_core.teacher_states.reader import TeacherStates
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
TeacherStates.open(Path(sys.argv[1]))
before = resident()
states = TeacherStates.open(Path(sys.argv[1]))
for ids in torch.arange(4000).split(32): states.gather(ids, [2, 4, 6, 8, 10])
print(resident() - before)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20


def test_states_kept_on_the_device_equal_those_read_from_disk(tmp_path: Path) -> None:
    rows = Rows(9000)
    states = TeacherStates.open(write_all(tmp_path, rows))
    stored, resident = (
        kind(states, [1, 3], torch.device("cpu")) for kind in (StoredTeacherSource, ResidentTeacherSource)
    )
    assert states.num_bytes(2) == 9000 * (2 * 8 * 2 + 2 * 4)
    for seed in range(5):
        ids = torch.from_numpy(np.random.default_rng(seed).choice(rows.example_ids, 32))
        one, other = stored.gather(ids), resident.gather(ids)
        assert torch.equal(one.logits_BC, other.logits_BC)
        assert torch.equal(one.cls_states_BMD, other.cls_states_BMD)
        assert one.cls_states_BMD.dtype == other.cls_states_BMD.dtype
    for source in (stored, resident):
        with pytest.raises(StoreError, match="states of example -1"):
            source.gather(torch.tensor([-1]))


def test_compressed_columns_and_nulls_are_errors_at_opening(tmp_path: Path) -> None:
    rows = Rows(100)
    path = shard_path(write_all(tmp_path, rows), 0)
    stored = pa.ipc.open_file(str(path)).read_all()
    with pa.ipc.new_file(
        str(path), stored.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as writer:
        writer.write_table(stored)
    with pytest.raises(StoreError, match="uncompressed columns without nulls"):
        TeacherStates.open(tmp_path)
    states = pa.array(rows.cls_states.ravel(), mask=np.arange(rows.cls_states.size) == 7)
    columns = [stored["example_id"], stored["logits"], pa.FixedSizeListArray.from_arrays(states, 24)]
    with pa.ipc.new_file(str(path), stored.schema) as writer:
        writer.write_table(pa.table(columns, schema=stored.schema))
    with pytest.raises(StoreError, match="uncompressed columns without nulls"):
        TeacherStates.open(tmp_path)


def test_an_arrow_file_without_rows_is_an_error_at_opening(tmp_path: Path) -> None:
    path = shard_path(tmp_path, 0)
    pa.ipc.new_file(str(path), SHAPE.schema()).close()
    with pytest.raises(StoreError, match="uncompressed columns without nulls"):
        TeacherStates.open(tmp_path)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="needs a system that takes advice")
def test_the_disk_is_told_of_all_rows_of_a_batch_before_the_first_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows(100)
    states = TeacherStates.open(write_all(tmp_path, rows, shard_rows=60))
    calls: list[tuple[Any, ...]] = []
    read = os.preadv

    def observed_read(file: int, buffers: list[memoryview], offset: int) -> int:
        calls.append((file, offset))
        return read(file, buffers, offset)

    monkeypatch.setattr(os, "posix_fadvise", lambda *given: calls.append(given))
    monkeypatch.setattr(os, "preadv", observed_read)
    states.gather(torch.from_numpy(rows.example_ids[[70, 3, 4]]), [2])
    advice, reads = calls[:3], calls[3:]
    assert advice == [(file, offset, 48, os.POSIX_FADV_WILLNEED) for file, offset in reads]
    assert len(reads) == 3 and reads[2][1] - reads[1][1] == 48


def test_a_shard_that_is_truncated_after_opening_is_an_error(tmp_path: Path) -> None:
    rows = Rows(1000)
    states = TeacherStates.open(write_all(tmp_path, rows))
    os.truncate(shard_path(tmp_path, 0), 30_000)
    with pytest.raises(StoreError, match=r"states-00000\.arrow: expected 48 bytes"):
        states.gather(torch.from_numpy(rows.example_ids), [1])


def test_on_a_gpu_states_are_kept_there_if_they_fit_into_half_of_its_free_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = TeacherStates.open(write_all(tmp_path, Rows(100)))
    needed, gpu = states.num_bytes(2), torch.device("cuda", 1)
    monkeypatch.setattr(
        "pkd_core.teacher_states.source.ResidentTeacherSource", lambda *given: ("resident", *given)
    )
    sources: list[object] = []
    for free in (2 * needed, 2 * needed - 1):
        memory = {gpu: (free, 10 * free)}
        monkeypatch.setattr(torch.cuda, "mem_get_info", memory.__getitem__)
        sources.append(open_teacher_source(states, [1, 2], gpu))
    assert sources == [("resident", states, [1, 2], gpu), StoredTeacherSource(states, [1, 2], gpu)]
    cpu = torch.device("cpu")
    assert open_teacher_source(states, [1], cpu) == StoredTeacherSource(states, [1], cpu)
