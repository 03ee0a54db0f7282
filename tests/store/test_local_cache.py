"""The copies that a machine keeps of what a shared place holds, up to a bound."""

import os
from pathlib import Path

import pytest
from machines import Machines
from published_stages import publish

from pkd_core.errors import ConfigError
from pkd_core.store.address import Address
from pkd_core.store.local_cache import check_bound, in_use, make_room
from pkd_core.store.shared_stages import SharedStages
from pkd_core.store.work_folder import lock_file

STAGES = [Address("artifacts", "RTE", f"kd-3l-s{seed}", "0123456789abcdef") for seed in (1, 2, 3)]


@pytest.fixture
def workspace(sharing: Machines) -> Path:
    """A machine with copies of three stages of 1,000 bytes each, the first one used longest ago."""
    for address in STAGES:
        publish(sharing.store("a"), address, {"model": b"m" * 1000})
    workspace = sharing.workspace("b")
    for number, address in enumerate(STAGES):
        os.utime(sharing.store("b").fetch(address), (number, number))
    return workspace


def present(workspace: Path) -> list[str]:
    return [address.stage for address in STAGES if (workspace / address.folder).is_dir()]


def test_copies_make_room_for_others_those_first_that_were_used_longest_ago(
    workspace: Path, sharing: Machines
) -> None:
    make_room(workspace, 0, 3000)
    assert present(workspace) == ["kd-3l-s1", "kd-3l-s2", "kd-3l-s3"]
    with in_use(workspace, STAGES[:1]):
        pass
    make_room(workspace, 500, 2500)
    assert present(workspace) == ["kd-3l-s1", "kd-3l-s3"]
    make_room(workspace, 5000, 2500)
    assert present(workspace) == []
    assert (sharing.store("b").fetch(STAGES[0]) / "model").read_bytes() == b"m" * 1000
    assert not list((workspace / "in-use").glob("*.removed"))


def test_what_a_living_process_uses_stays_and_what_a_dead_one_used_does_not(workspace: Path) -> None:
    with in_use(workspace, STAGES[:2]):
        # As a killed process leaves it: the record of what it used, whose lock nobody holds.
        (workspace / "in-use" / "dead.json").write_text(
            f'["{STAGES[2].folder.as_posix()}"]', encoding="utf-8"
        )
        make_room(workspace, 0, 1)
        assert present(workspace) == ["kd-3l-s1", "kd-3l-s2"]
    make_room(workspace, 0, 1)
    assert present(workspace) == []
    assert not list((workspace / "in-use").glob("*.json"))


def test_the_only_copy_and_unfinished_work_stay(workspace: Path, sharing: Machines) -> None:
    sharing.place.delete(f"{STAGES[0].folder.as_posix()}/manifest.json")
    other = Address("artifacts", "RTE", "teacher", "0123456789abcdef")
    with sharing.store("b").writing(other, {}) as work:
        (work / "unfinished").write_bytes(b"1" * 5000)
        make_room(workspace, 0, 1)
        assert (work / "unfinished").exists()
    assert present(workspace) == ["kd-3l-s1"]


def test_a_copy_of_other_bytes_than_the_place_has_stays(workspace: Path, sharing: Machines) -> None:
    store = sharing.store("a")
    sharing.place.delete(f"{STAGES[0].folder.as_posix()}/manifest.json")
    publish(store, STAGES[0], {"model": b"other"})
    make_room(workspace, 0, 1)
    assert present(workspace) == ["kd-3l-s1"]


def test_a_workspace_of_one_machine_loses_nothing(tmp_path: Path, sharing: Machines) -> None:
    assert SharedStages.of(tmp_path / "alone") is None
    folder = tmp_path / "alone" / STAGES[0].folder
    folder.mkdir(parents=True)
    with in_use(tmp_path / "alone", STAGES):
        make_room(tmp_path / "alone", 10**12, 1)
    assert sorted(path.name for path in (tmp_path / "alone").iterdir()) == ["artifacts"]
    assert lock_file(folder).exists() is False


def test_a_bound_below_what_a_stage_reads_is_refused_with_one_that_suffices() -> None:
    check_bound("RTE/kd-3l-s1", 2_000_000_000, 2e9)
    with pytest.raises(
        ConfigError,
        match=r"RTE/kd-3l-s1 reads 2 GB, and --cache-gb allows 1.5 GB of local copies; give at least --cache-gb 2.02",
    ):
        check_bound("RTE/kd-3l-s1", 2_000_000_000, 1.5e9)
