"""Extracted states equal transformers' hidden states, resumed or not; too little disk is an error at the start."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tiny_bert import Recorder, make_table, padded, tiny_classifier

from pkd_core.data.token_table import Rows, TokenTable
from pkd_core.errors import StoreError
from pkd_core.model.packing import PackedBatch, pack
from pkd_core.runtime.group import OneProcess
from pkd_core.store.finished_files import FinishedFiles
from pkd_core.teacher_states.extraction import extract
from pkd_core.teacher_states.format import StatesShape, forecast_bytes, shard_path
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.teacher_states.writer import StatesWriter

CPU = torch.device("cpu")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-3), ("float32", 1e-5)])
def test_extracted_states_equal_transformers_hidden_states_without_dropout(
    tmp_path: Path, dtype: str, tolerance: float
) -> None:
    teacher, table = tiny_classifier(num_outputs=3).train(), make_table(2500, first_id=70)
    random_state = torch.get_rng_state()
    facts = extract(teacher, table, tmp_path, dtype, Recorder(), device=CPU, max_tokens=512)
    assert torch.equal(torch.get_rng_state(), random_state)
    rows = np.random.default_rng(0).permutation(2500)[:64]
    targets = TeacherStates.open(tmp_path).gather(torch.from_numpy(rows + 70), [1, 2, 3, 4])
    assert targets.cls_states_BMD.dtype == getattr(torch, dtype)
    assert targets.logits_BC.dtype == torch.float32
    teacher.eval()
    with torch.inference_mode():
        reference = teacher(**padded(table, rows), output_hidden_states=True)
    torch.testing.assert_close(targets.logits_BC, reference.logits, atol=1e-5, rtol=1e-5)
    expected = torch.stack([hidden[:, 0] for hidden in reference.hidden_states[1:]], dim=1)
    torch.testing.assert_close(targets.cls_states_BMD.float(), expected, atol=tolerance, rtol=tolerance)
    assert facts == {
        "rows": 2500,
        "num_layers": 4,
        "hidden_size": 32,
        "num_outputs": 3,
        "dtype": dtype,
        "bytes": shard_path(tmp_path, 0).stat().st_size,
    }
    assert facts["bytes"] == pytest.approx(forecast_bytes(StatesShape(4, 32, 3, dtype), 2500), rel=0.02)


def test_states_are_rounded_where_they_are_computed_so_that_fewer_bytes_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dtypes, write = [], StatesWriter.write

    def observed_write(
        writer: StatesWriter,
        ids: np.ndarray[Any, Any],
        logits: np.ndarray[Any, Any],
        states: np.ndarray[Any, Any],
    ) -> None:
        dtypes.append((ids.dtype, logits.dtype, states.dtype))
        write(writer, ids, logits, states)

    monkeypatch.setattr(StatesWriter, "write", observed_write)
    extract(tiny_classifier(2), make_table(10), tmp_path, "float16", Recorder(), device=CPU)
    assert dtypes == [(np.int64, np.float32, np.float16)]


def test_rows_are_stored_in_the_tables_order_and_progress_counts_them(tmp_path: Path) -> None:
    table, observer = make_table(2500, first_id=70), Recorder()
    extract(tiny_classifier(2), table, tmp_path, "float16", observer, device=CPU, shard_rows=2000)
    stored = [pa.ipc.open_file(str(shard_path(tmp_path, number))).read_all() for number in (0, 1)]
    assert [len(shard) for shard in stored] == [2000, 500]
    assert pa.concat_tables(stored)["example_id"].to_pylist() == list(range(70, 2570))
    assert observer.progress_seen == [(done, 2500, "examples") for done in (0, 1024, 2048, 2500)]


class OneOfTwo(OneProcess):
    """Takes part in an extraction with another, before or after it."""

    size = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank


def test_two_processes_divide_the_shards_and_write_the_same_files(tmp_path: Path) -> None:
    teacher, table, observers = tiny_classifier(2), make_table(5000), (Recorder(), Recorder())
    for folder in ("one", "resume", "two"):
        (tmp_path / folder).mkdir()
    extract(teacher, table, tmp_path / "one", "float16", Recorder(), device=CPU, shard_rows=1024)
    for rank in (1, 0):
        facts = extract(
            teacher,
            table,
            tmp_path / "two",
            "float16",
            observers[rank],
            device=CPU,
            shard_rows=1024,
            finished=FinishedFiles(tmp_path / "two", tmp_path / "resume"),
            group=OneOfTwo(rank),
        )
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [
        f"states-{number:05d}.arrow" for number in range(5)
    ]
    assert [done for done, _, _ in observers[0].progress_seen] == [0, 1024, 2048, 2952]
    assert [done for done, _, _ in observers[1].progress_seen] == [0, 1024, 2048]
    assert facts["bytes"] == sum(path.stat().st_size for path in (tmp_path / "one").iterdir())


def test_an_interrupted_extraction_continues_after_its_finished_shards(tmp_path: Path) -> None:
    teacher, table = tiny_classifier(), make_table(2500)

    class Interrupted(Recorder):
        def progress(self, done: int, total: int, unit: str) -> None:
            if done > 1024:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(
            teacher,
            table,
            tmp_path / "twice",
            "float16",
            Interrupted(),
            device=CPU,
            shard_rows=1024,
            finished=FinishedFiles(tmp_path / "twice", tmp_path),
        )
    observer = Recorder()
    extract(
        teacher,
        table,
        tmp_path / "twice",
        "float16",
        observer,
        device=CPU,
        shard_rows=1024,
        finished=FinishedFiles(tmp_path / "twice", tmp_path),
    )
    extract(teacher, table, tmp_path / "once", "float16", Recorder(), device=CPU, shard_rows=1024)
    assert [done for done, _, _ in observer.progress_seen] == [2048, 2500]
    for number in range(3):
        once, twice = (shard_path(tmp_path / name, number).read_bytes() for name in ("once", "twice"))
        assert once == twice


def test_a_finished_extraction_is_not_run_again(tmp_path: Path) -> None:
    teacher, table, observer = tiny_classifier(), make_table(10), Recorder()
    work = tmp_path / "in" / "folders" / "to create"
    first = extract(
        teacher, table, work, "float16", Recorder(), device=CPU, finished=FinishedFiles(work, tmp_path)
    )
    again = extract(
        teacher, table, work, "float16", observer, device=CPU, finished=FinishedFiles(work, tmp_path)
    )
    assert again == first
    assert observer.progress_seen == [(10, 10, "examples")]


def test_too_little_disk_space_is_an_error_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="pkd_core")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2_500_000))
    message = (
        f"{tmp_path}: expected 0.13 GB of free disk for teacher states, got 2.50 MB; "
        "free some, or set states.dtype=float16"
    )
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        extract(tiny_classifier(), make_table(250_000), tmp_path, "float32", Recorder(), device=CPU)
    assert caplog.messages == [f"teacher states of 250000 examples will take 0.13 GB in {tmp_path}"]
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_extraction_needs_disk_space_for_its_missing_rows_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, table = tiny_classifier(), make_table(2500)
    states = tmp_path / "states"

    def extract_rest() -> None:
        extract(
            teacher,
            table,
            states,
            "float16",
            Recorder(),
            device=CPU,
            shard_rows=1024,
            finished=FinishedFiles(states, tmp_path),
        )

    extract_rest()
    shard_path(states, 2).unlink()
    usage, needed = shutil.disk_usage(tmp_path), forecast_bytes(StatesShape(4, 32, 2, "float16"), 2500 - 2048)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed - 1))
    with pytest.raises(StoreError, match="teacher states"):
        extract_rest()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed))
    extract_rest()


def test_batches_of_an_extraction_have_at_most_the_given_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, sizes = make_table(200), []

    def observed_pack(packed: TokenTable, rows: Rows, device: torch.device) -> PackedBatch:
        sizes.append((len(rows), int(packed.lengths[rows].max())))
        return pack(packed, rows, device)

    monkeypatch.setattr("pkd_core.teacher_states.extraction.pack", observed_pack)
    extract(tiny_classifier(2), table, tmp_path, "float16", Recorder(), device=CPU, max_tokens=100)
    assert sum(num_rows for num_rows, _ in sizes) == 200
    assert all(num_rows * length <= 100 for num_rows, length in sizes)
    assert len(sizes) < 60
