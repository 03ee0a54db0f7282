"""Run records name what a run uses, and whether a living process executes it."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pkd_core.errors import StoreError
from pkd_core.store.run_records import RunRecord, read_run_records, record_run

REQUEST = {"tasks": ["RTE"], "seed": 1}
FOLDERS = [Path("data_feat/RTE/tokens-0"), Path("artifacts/RTE/teacher-1")]
RUNNER = """
import sys
from pathlib import Path
from pkd_core.store.run_records import record_run
with record_run(Path(sys.argv[1]), {"tasks": ["RTE"], "seed": 1}, [Path("artifacts/RTE/teacher-1")]):
    print("running", flush=True)
    sys.stdin.readline()
"""


def files(workspace: Path) -> list[str]:
    return sorted(path.name for path in (workspace / "artifacts/runs").iterdir())


def test_a_record_holds_the_request_its_folders_and_its_start(tmp_path: Path) -> None:
    with record_run(tmp_path, REQUEST, FOLDERS):
        pass
    (path,) = (tmp_path / "artifacts" / "runs").iterdir()
    assert path.name == "d9deef53c334c236.json", (
        "another name would not replace the records of earlier versions"
    )
    text = path.read_text(encoding="utf-8")
    begun, folders = json.loads(text)["begun"], ["artifacts/RTE/teacher-1", "data_feat/RTE/tokens-0"]
    content = {"begun": begun, "asked_for": REQUEST, "folders": folders}
    assert text == json.dumps(content, indent=2) + "\n"
    assert read_run_records(tmp_path) == [
        RunRecord(path, begun, REQUEST, frozenset(folders), is_running=False)
    ]
    age = datetime.now(UTC) - datetime.strptime(begun, "%Y-%m-%dT%H:%M:%S%z")
    assert timedelta() <= age < timedelta(minutes=1)


@pytest.mark.parametrize("error", [None, KeyError("in the body")])
def test_a_run_is_running_until_its_body_ends_or_fails(error: Exception | None, tmp_path: Path) -> None:
    try:
        with record_run(tmp_path, REQUEST, FOLDERS):
            (record,) = read_run_records(tmp_path)
            assert record.is_running
            assert read_run_records(tmp_path)[0].is_running, "looking does not end it"
            if error:
                raise error
    except KeyError:
        pass
    assert not read_run_records(tmp_path)[0].is_running
    assert files(tmp_path) == [record.path.name]


def test_of_two_runs_of_one_request_the_second_replaces_the_record_and_both_count(tmp_path: Path) -> None:
    with record_run(tmp_path, REQUEST, FOLDERS):
        with record_run(tmp_path, dict(reversed(REQUEST.items())), FOLDERS[:1]):
            (record,) = read_run_records(tmp_path)
            assert record.is_running
        (record,) = read_run_records(tmp_path)
        assert record.is_running, "the first one still runs"
        assert record.folders == {"data_feat/RTE/tokens-0"}
    assert not read_run_records(tmp_path)[0].is_running


def test_two_runs_of_one_request_may_write_its_record_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace

    def begin_another_run_first(source: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", rename)
        with record_run(tmp_path, REQUEST, FOLDERS[:1]):
            pass
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", begin_another_run_first)
    with record_run(tmp_path, REQUEST, FOLDERS[1:]):
        (record,) = read_run_records(tmp_path)
        assert record.folders == {"artifacts/RTE/teacher-1"}
    assert files(tmp_path) == [record.path.name]


def test_a_lock_that_cannot_be_removed_does_not_fail_the_run(tmp_path: Path) -> None:
    with record_run(tmp_path, REQUEST, FOLDERS):
        (lock_file,) = (tmp_path / "artifacts/runs").glob("*.running")
        lock_file.unlink()
        lock_file.mkdir()
    assert lock_file.is_dir()


def test_another_request_has_a_record_of_its_own_and_the_newest_comes_first(tmp_path: Path) -> None:
    for seed, day in [(1, 2), (2, 3), (3, 1)]:
        with record_run(tmp_path, {"seed": seed}, [Path(f"artifacts/RTE/teacher-{seed}")]):
            running = [record for record in read_run_records(tmp_path) if record.is_running]
            assert [record.folders for record in running] == [{f"artifacts/RTE/teacher-{seed}"}]
        (path,) = (record.path for record in running)
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content | {"begun": f"2026-01-0{day}"}), encoding="utf-8")
    assert [record.started[-1] for record in read_run_records(tmp_path)] == ["3", "2", "1"]


def test_a_killed_run_is_not_running_and_reading_removes_what_it_left(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        assert [process.stdout.readline() for process in processes if process.stdout] == ["running\n"] * 2
        os.kill(processes[0].pid, signal.SIGKILL)
        processes[0].wait()
        (record,) = read_run_records(tmp_path)
        assert record.is_running, "the other one still runs"
        left = [Path(name).suffix for name in files(tmp_path)]
        assert sorted(left) == [".holder", ".json", ".running"]
        os.kill(processes[1].pid, signal.SIGKILL)
        processes[1].wait()
        assert not read_run_records(tmp_path)[0].is_running
        assert files(tmp_path) == [record.path.name]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_two_readers_may_remove_what_a_killed_run_left_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with record_run(tmp_path, REQUEST, FOLDERS):
        pass
    (path,) = (tmp_path / "artifacts" / "runs").iterdir()
    left = path.with_name(f"{path.stem}.0.running")
    left.write_bytes(b"")
    unlink = Path.unlink

    def come_second(file: Path, missing_ok: bool = False) -> None:
        if file == left:
            unlink(file)
        unlink(file, missing_ok)

    monkeypatch.setattr(Path, "unlink", come_second)
    assert not read_run_records(tmp_path)[0].is_running
    assert files(tmp_path) == [path.name]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"\xff", b'{"begun": "x"}', b'{"folders": []}'])
def test_a_malformed_record_is_named_because_its_folders_are_unknown(content: bytes, tmp_path: Path) -> None:
    with record_run(tmp_path, REQUEST, FOLDERS):
        pass
    (tmp_path / "artifacts/runs/malformed.json").write_bytes(content)
    with pytest.raises(StoreError) as raised:
        read_run_records(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}/artifacts/runs/malformed.json: expected a run record, got a file that cannot be read as one;"
        " delete it, and start that run again."
    )


def test_a_workspace_without_runs_has_no_records(tmp_path: Path) -> None:
    assert read_run_records(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("blocked", ["artifacts", "artifacts/runs"])
def test_a_record_that_cannot_be_written_is_named_before_the_run_starts(blocked: str, tmp_path: Path) -> None:
    (tmp_path / blocked).parent.mkdir(exist_ok=True)
    (tmp_path / blocked).write_bytes(b"")
    expected = r"needs to write .*\.json, but the system answers"
    with pytest.raises(StoreError, match=expected), record_run(tmp_path, REQUEST, FOLDERS):
        raise AssertionError("the body must not run")


def test_a_failed_write_of_a_record_leaves_no_lock(tmp_path: Path) -> None:
    with record_run(tmp_path, REQUEST, FOLDERS):
        pass
    (path,) = (tmp_path / "artifacts" / "runs").iterdir()
    path.unlink()
    path.mkdir()
    expected = r"needs to write .*\.json, but the system answers 'Is a directory'"
    with pytest.raises(StoreError, match=expected), record_run(tmp_path, REQUEST, FOLDERS):
        raise AssertionError("the body must not run")
    assert files(tmp_path) == [path.name]
