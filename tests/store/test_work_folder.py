"""The work folder that an interrupted stage leaves behind."""

from pathlib import Path

import pytest

from pkd_core.store.address import Address
from pkd_core.store.stage_store import StageStore

ADDRESS = Address("artifacts", "RTE", "teacher", "0123456789abcdef")


def interrupt(store: StageStore, inputs: dict[str, str]) -> None:
    with pytest.raises(KeyError), store.writing(ADDRESS, inputs) as work:
        (work / "part.bin").write_bytes(b"half")
        raise KeyError("stopped here")


def test_work_begun_from_the_same_inputs_is_resumed(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    interrupt(store, {"tokens": "aa"})
    with store.writing(ADDRESS, {"tokens": "aa"}) as work:
        assert (work / "part.bin").read_bytes() == b"half"


def test_work_begun_from_other_inputs_is_not_mixed_with_new_work(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    interrupt(store, {"tokens": "aa"})
    with store.writing(ADDRESS, {"tokens": "bb"}) as work:
        assert list(work.iterdir()) == []


def test_nothing_but_the_lock_is_left_after_publishing(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    with store.writing(ADDRESS, {"tokens": "aa"}) as work:
        (work / "whole.bin").write_bytes(b"all of it")
        store.publish(ADDRESS, code_version=1, config={}, inputs={"tokens": "aa"}, facts={})
    left = sorted(path.name for path in (tmp_path / ADDRESS.work_folder).parent.iterdir())
    assert left == [f"{ADDRESS.name}.lock"]
