"""`pkd clean` lists what no run refers to, deletes it only on request, and never the work of a running process."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import run_pkd, tree
from tiny import QUICK_SETTINGS, write_tiny_task

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import RunConfig
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.store.cleanup import find_garbage, remove
from pkd_core.store.garbage import GarbageKind


def config(model: Path, **settings: float) -> RunConfig:
    values = QUICK_SETTINGS | {key.replace("__", "."): value for key, value in settings.items()}
    return build_run_config(tasks=["Tiny"], methods=["finetune"], model=str(model), settings=values)


def run(root: Path, model: Path, **settings: float) -> Plan:
    plan = make_plan(config(model, **settings), root, device="cpu")
    run_plan(plan, RunOptions(device="cpu"))
    return plan


def published(root: Path) -> set[str]:
    return {path.parent.name for path in root.glob("*/*/*/manifest.json")}


def of_plan(plan: Plan) -> set[str]:
    return {one.stage.address.name for one in plan.stages}


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A workspace after a run, after the same run on other data, and after a run with another setting."""
    root = tmp_path_factory.mktemp("used")
    write_tiny_task(root / "data_raw")
    run(root, tiny_model)
    with (root / "data_raw" / "Tiny" / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("a good film\tup\n")
    run(root, tiny_model)
    run(root, tiny_model, student__learning_rate=1e-3)
    return root


@pytest.fixture
def workspace(used: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(used, tmp_path / "workspace")
    monkeypatch.chdir(tmp_path / "workspace")
    return tmp_path / "workspace"


def test_clean_lists_garbage_and_changes_nothing(
    workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = of_plan(make_plan(config(tiny_model), workspace, device="cpu")) | of_plan(
        make_plan(config(tiny_model, student__learning_rate=1e-3), workspace, device="cpu")
    )
    before = tree(workspace)
    assert run_pkd("clean") == 0
    out = capfd.readouterr().out
    listed = {
        line.split()[0].rpartition("/")[2] for line in out.splitlines() if "no run refers to it" in line
    }
    assert listed == published(workspace) - kept
    assert len(listed) == 7
    assert "hours" in out
    assert "repeat with --yes to delete these" in out
    assert tree(workspace) == before


def test_clean_as_json_lists_each_folder_and_whether_it_is_deleted(
    workspace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for options, deleted in ([], False), (["--yes"], True):
        assert run_pkd("clean", "--json", *options) == 0
        shown = json.loads(capfd.readouterr().out)
        assert (shown["num_runs"], shown["num_kept_runs"], len(shown["folders"])) == (2, 2, 7)
        assert {one["deleted"] for one in shown["folders"]} == {deleted}
        assert {Path(one["folder"]).exists() for one in shown["folders"]} == {not deleted}
        assert all(one["num_bytes"] > 0 and one["modified"].startswith("20") for one in shown["folders"])


def test_clean_yes_deletes_the_garbage_and_the_rest_stays_done(
    workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("clean", "--yes") == 0
    assert "deleted 7 folders" in capfd.readouterr().out
    for plan in (
        make_plan(config(tiny_model), workspace, deep=True, device="cpu"),
        make_plan(config(tiny_model, student__learning_rate=1e-3), workspace, deep=True, device="cpu"),
    ):
        assert plan.todo == ()
    assert run_pkd("clean") == 0
    assert capfd.readouterr().out.startswith("0 folders")


def test_clean_last_keeps_the_newest_runs_only(
    workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Run records have a resolution of one second.
    newest = make_plan(config(tiny_model, student__learning_rate=1e-3), workspace, device="cpu")
    for path in (workspace / "artifacts" / "runs").glob("*.json"):
        path.with_suffix(".toml").touch()
    for path in (workspace / "artifacts" / "runs").glob("*.json"):
        if newest.stages[-1].stage.fingerprint not in path.read_text(encoding="utf-8"):
            path.write_text(
                path.read_text(encoding="utf-8").replace('"begun": "2', '"begun": "1'), encoding="utf-8"
            )
    assert run_pkd("clean", "--last", "1", "--yes") == 0
    assert published(workspace) == of_plan(newest)
    for suffix in (".json", ".toml"):
        assert len(list((workspace / "artifacts" / "runs").glob(f"*{suffix}"))) == 1


def test_replaced_copies_and_abandoned_work_are_listed_too(
    workspace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    backup = workspace / "artifacts" / "Tiny" / ".aside" / "teacher-0123456789abcdef-20260101T000000.0Z"
    work = workspace / "artifacts" / "Tiny" / ".work" / "teacher-0123456789abcdef"
    for folder in (backup, work):
        folder.mkdir(parents=True)
        (folder / "part").write_bytes(b"x" * 2_000_000)
    assert run_pkd("clean", "--yes") == 0
    out = capfd.readouterr().out
    assert "2.0 MB" in out
    assert GarbageKind.BACKUP.value in out
    assert GarbageKind.UNFINISHED.value in out
    assert not backup.exists()
    assert not work.exists()


@pytest.mark.parametrize("name", ["[", "[red]", ":smile:"])
def test_a_folder_is_listed_by_its_name_also_where_rich_would_take_it_for_markup(
    name: str, workspace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (workspace / "artifacts" / "Tiny" / ".aside" / name).mkdir(parents=True)
    assert run_pkd("clean") == 0
    assert f"artifacts/Tiny/.aside/{name} " in capfd.readouterr().out


HOLD = """
import sys, time
from pathlib import Path
from pkd_core.store.address import Address
from pkd_core.store.run_records import record_run
from pkd_core.store.stage_store import StageStore
root, address = Path(sys.argv[1]), Address("artifacts", "Tiny", "teacher", "0123456789abcdef")
with record_run(root, {"run": "under way"}, [Path("artifacts/Tiny/student-0123456789abcdef")]):
    with StageStore(root).writing(address, {}) as work:
        (work / "half").write_text("half")
        print("held", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def holder(workspace: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs something here: it has a run record, and writes a stage."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workspace)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_work_of_a_running_process_is_kept_until_it_ends(
    workspace: Path, holder: "subprocess.Popen[str]"
) -> None:
    work = workspace / "artifacts" / "Tiny" / ".work" / "teacher-0123456789abcdef"
    student = workspace / "artifacts" / "Tiny" / "student-0123456789abcdef"
    student.mkdir()
    records_folder = workspace / "artifacts" / "runs"
    for path in records_folder.glob("*.json"):
        if "under way" in path.read_text(encoding="utf-8"):
            # Not among the newest: it is spared because it runs.
            path.write_text(
                path.read_text(encoding="utf-8").replace('"begun": "2', '"begun": "0'), encoding="utf-8"
            )
    assert run_pkd("clean", "--last", "1", "--yes") == 0
    assert (work / "half").read_text(encoding="utf-8") == "half"
    assert student.is_dir()

    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert run_pkd("clean", "--last", "1", "--yes") == 0
    assert not work.exists()
    assert not student.exists()
    assert not list(records_folder.glob("*.running"))


def test_a_stage_that_is_written_after_it_was_listed_is_kept(
    workspace: Path, holder: "subprocess.Popen[str]"
) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    (work,) = (one for one in find_garbage(workspace, set()) if one.kind is GarbageKind.UNFINISHED)
    again = subprocess.Popen([sys.executable, "-c", HOLD, str(workspace)], stdout=subprocess.PIPE, text=True)
    try:
        assert again.stdout is not None
        assert again.stdout.readline() == "held\n"
        assert not remove(workspace, work)
        assert (workspace / work.folder / "half").is_file()
    finally:
        again.kill()
        again.wait()
    assert remove(workspace, work)


def test_nothing_is_deleted_without_readable_run_records(
    workspace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    records = list((workspace / "artifacts" / "runs").glob("*.json"))
    records[0].write_text("{", encoding="utf-8")
    before = published(workspace)
    assert run_pkd("clean", "--yes") == 2
    assert "expected a run record" in capfd.readouterr().err
    for record in records:
        record.unlink()
    assert run_pkd("clean", "--yes") == 2
    assert "has no record of any run" in capfd.readouterr().err
    assert run_pkd("clean", "--workspace", "absent") == 2
    assert published(workspace) == before


def test_a_linked_folder_on_another_disk_is_unlinked_and_kept_there(workspace: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("not ours", encoding="utf-8")
    link = workspace / "artifacts" / "Tiny" / "teacher-0123456789abcdef"
    link.symlink_to(elsewhere)
    assert run_pkd("clean", "--yes") == 0
    assert not link.is_symlink()
    assert (elsewhere / "precious").is_file()
