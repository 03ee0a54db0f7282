"""What is extracted is what the teacher says, resumed or not, and only where it fits on the disk."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bert import Recorder, make_table, tiny_classifier

from pkd_core.errors import StoreError
from pkd_core.model.forward import forward
from pkd_core.model.packing import pack
from pkd_core.teacher_states.extraction import extract
from pkd_core.teacher_states.format import StatesShape, forecast_bytes, shard_path
from pkd_core.teacher_states.reader import TeacherStates

CPU = torch.device("cpu")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-3), ("float32", 1e-5)])
def test_gathered_states_equal_a_fresh_forward_without_dropout(
    tmp_path: Path, dtype: str, tolerance: float
) -> None:
    teacher, table = tiny_classifier(num_outputs=3).train(), make_table(2500, first_id=70)
    facts = extract(teacher, table, tmp_path, dtype, Recorder(), device=CPU, max_tokens=512)
    rows = np.random.default_rng(0).permutation(2500)[:64]
    batch = pack(table, rows)
    part = TeacherStates.open(tmp_path).gather(batch.example_ids_B, [1, 3])
    with torch.inference_mode():
        fresh = forward(teacher, batch)
    torch.testing.assert_close(part.logits_BC, fresh.logits_BC, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        part.cls_states_BMD.float(), fresh.cls_states_BND[:, [0, 2]], atol=tolerance, rtol=tolerance
    )
    assert facts == {
        "rows": 2500,
        "num_layers": 4,
        "hidden_size": 32,
        "num_outputs": 3,
        "dtype": dtype,
        "bytes": shard_path(tmp_path, 0).stat().st_size,
    }
    assert facts["bytes"] == pytest.approx(forecast_bytes(StatesShape(4, 32, 3, dtype), 2500), rel=0.02)


def test_interrupted_extraction_goes_on_after_its_finished_shards(tmp_path: Path) -> None:
    teacher, table = tiny_classifier(), make_table(2500)

    class Interrupted(Recorder):
        def progress(self, done: int, total: int, unit: str) -> None:
            if done > 1024:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(teacher, table, tmp_path / "twice", "float16", Interrupted(), device=CPU, shard_rows=1024)
    observer = Recorder()
    extract(teacher, table, tmp_path / "twice", "float16", observer, device=CPU, shard_rows=1024)
    extract(teacher, table, tmp_path / "once", "float16", Recorder(), device=CPU, shard_rows=1024)
    assert [done for done, _, _ in observer.progress_seen] == [2500]
    for number in range(3):
        once, twice = (shard_path(tmp_path / name, number).read_bytes() for name in ("once", "twice"))
        assert once == twice


def test_finished_extraction_is_not_run_again(tmp_path: Path) -> None:
    teacher, table, observer = tiny_classifier(), make_table(10), Recorder()
    first = extract(teacher, table, tmp_path, "float16", Recorder(), device=CPU)
    assert extract(teacher, table, tmp_path, "float16", observer, device=CPU) == first
    assert observer.progress_seen == []


def test_too_little_room_is_told_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StoreError, match=r"MB of free disk.*float16"):
        extract(tiny_classifier(), make_table(2000), tmp_path, "float32", Recorder(), device=CPU)
    assert "will take 0.00 GB" in caplog.text
    assert list(tmp_path.iterdir()) == []
