"""Run records of a workspace that several machines share."""

from pathlib import Path

import pytest
from machines import Machines

from pkd_core.store import shared_runs
from pkd_core.store.run_records import read_run_records, record_run, remove_record, write_beside

FOLDERS = [Path("artifacts/RTE/teacher-0123456789abcdef")]


def test_a_run_is_seen_from_every_machine_while_it_goes_on_and_afterwards(sharing: Machines) -> None:
    with record_run(sharing.workspace("a"), {"tasks": ["RTE"]}, FOLDERS) as path:
        write_beside(path.with_suffix(".toml"), 'tasks = ["RTE"]\n')
        (seen,) = read_run_records(sharing.workspace("b"))
        assert seen.is_running
    (seen,) = read_run_records(sharing.workspace("b"))
    assert not seen.is_running
    assert (seen.request, seen.folders) == ({"tasks": ["RTE"]}, {FOLDERS[0].as_posix()})
    assert seen.path.is_relative_to(sharing.workspace("b"))
    assert seen.path.with_suffix(".toml").read_text(encoding="utf-8") == 'tasks = ["RTE"]\n'
    assert not list(sharing.place.list("artifacts/running/"))


def test_a_record_that_one_machine_deletes_is_gone_on_all(sharing: Machines) -> None:
    for task in ("RTE", "MRPC"):
        with record_run(sharing.workspace("a"), {"tasks": [task]}, FOLDERS) as path:
            write_beside(path.with_suffix(".toml"), f'tasks = ["{task}"]\n')
    records = read_run_records(sharing.workspace("b"))
    remove_record(next(one for one in records if one.request["tasks"] == ["RTE"]).path)
    for machine in ("a", "b"):
        (left,) = read_run_records(sharing.workspace(machine))
        assert left.request == {"tasks": ["MRPC"]}
        assert {path.stem for path in left.path.parent.glob("*.toml")} == {left.path.stem}


def test_the_mark_of_a_machine_that_died_is_forgotten(
    sharing: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    with record_run(sharing.workspace("a"), {"tasks": ["RTE"]}, FOLDERS) as path:
        pass
    sharing.place.put(f"artifacts/running/{path.stem}/0123/1", b"{}")
    assert read_run_records(sharing.workspace("b"))[0].is_running
    monkeypatch.setattr(shared_runs, "SECONDS_ALIVE", -60.0)
    assert not read_run_records(sharing.workspace("b"))[0].is_running
    assert not list(sharing.place.list("artifacts/running/"))


def test_the_place_s_time_passes_with_its_objects(sharing: Machines) -> None:
    sharing.place.put("some/object", b"1")
    (found,) = sharing.place.list("some/")
    assert 0 <= shared_runs.place_time(sharing.place) - found.modified < 60
    assert not list(sharing.place.list("place/clock/"))
