"""The store opens in the workspace, quietly, for several processes at once, and an error names what is wrong."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import event

from pkd_core.errors import StoreError
from tasks.mlflow_store import (
    EXPERIMENT,
    Store,
    artifact_root,
    ensure_store,
    experiment_page,
    store_errors,
    tracking_uri,
)

OPENS = """
import sys
from pathlib import Path
from tasks.mlflow_store import ensure_store
sys.stdin.readline()
store = ensure_store(Path(sys.argv[1]))
run = store.client.create_run(store.experiment_id)
store.client.set_terminated(run.info.run_id)
sys.stdout.write(store.experiment_id)
"""


@pytest.mark.slow
def test_processes_that_open_a_store_at_once_get_the_same_experiment_though_one_was_killed_creating_it(
    tmp_path: Path,
) -> None:
    database, partial = tmp_path / "artifacts" / "mlflow.db", tmp_path / "artifacts" / "mlflow.db.part"
    killed, *others = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert killed.stdin
    killed.stdin.write("go\n")
    killed.stdin.flush()
    while not (partial.is_file() and partial.stat().st_size):
        assert killed.poll() is None
        time.sleep(0.001)
    killed.kill()
    killed.communicate()
    assert partial.is_file(), "it was killed in the middle"
    assert not database.exists()

    for process in others:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120) for process in others]

    assert [process.returncode for process in others] == [0, 0]
    assert [errors for _, errors in answers] == ["", ""], "MLflow's messages reach the terminal"
    store = ensure_store(tmp_path)
    assert [answer for answer, _ in answers] == [store.experiment_id] * 2
    assert len(store.client.search_runs([store.experiment_id])) == 2
    assert sorted(path.name for path in database.parent.iterdir()) == ["mlflow.db", "mlflow.lock"]


def test_the_store_is_in_the_workspace_by_absolute_addresses(
    workspace: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.parent)
    relative = Path(workspace.name)

    assert tracking_uri(relative) == f"sqlite:///{workspace}/artifacts/mlflow.db"
    assert ensure_store(relative).experiment_id == store.experiment_id
    experiment = store.client.get_experiment_by_name(EXPERIMENT)
    assert experiment.artifact_location == artifact_root(relative)
    assert experiment.artifact_location.startswith("file:///")
    page = experiment_page(relative)
    assert page.startswith(f"#/experiments/{store.experiment_id}/runs?workflowType=machine_learning&")
    view = store.client.get_experiment(store.experiment_id).tags[
        f"mlflow.sharedViewState.{page.partition('viewStateShareKey=')[2]}"
    ]
    assert json.loads(view)["selectedColumns"][0] == "metrics.`score`"
    assert (workspace / "artifacts" / "mlflow.db").is_file()


def test_the_users_own_address_wins_and_a_deleted_experiment_comes_back(
    workspace: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(workspace / "artifacts" / "mlflow.db", tmp_path / "own.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/own.db")
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/own.db"
    opened = ensure_store(tmp_path)
    opened.client.delete_experiment(opened.experiment_id)

    restored = ensure_store(tmp_path)

    assert restored.client.get_experiment(restored.experiment_id).lifecycle_stage == "active"
    assert restored.client.create_run(restored.experiment_id).info.status == "RUNNING"
    assert not (tmp_path / "artifacts" / "mlflow.db").exists()


def test_workspaces_that_open_one_server_at_once_share_its_experiment(
    workspace: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(workspace / "artifacts" / "mlflow.db", tmp_path / "shared.db")
    with closing(sqlite3.connect(tmp_path / "shared.db")) as connection, connection:
        connection.execute("UPDATE experiments SET name = 'another' WHERE name = ?", (EXPERIMENT,))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    engine = MlflowClient(f"sqlite:///{tmp_path}/shared.db")._tracking_client.store.engine
    opened = []

    def open_first(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO experiments") and not opened:
            opened.append(None)
            opened.append(ensure_store(tmp_path / "first"))

    event.listen(engine, "before_cursor_execute", open_first)
    second = ensure_store(tmp_path / "second")

    assert opened[1].experiment_id == second.experiment_id


def test_a_file_that_is_no_database_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "mlflow.db").write_bytes(os.urandom(4096))
    begun = time.monotonic()

    with pytest.raises(StoreError, match=r"mlflow\.db, but SQLite answers .*move the file away"):
        ensure_store(tmp_path)

    assert time.monotonic() - begun < 10


def test_a_moved_workspace_is_refused_before_files_are_written_to_its_old_path(
    workspace: Path, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "artifacts").mkdir()
    shutil.copyfile(workspace / "artifacts" / "mlflow.db", tmp_path / "artifacts" / "mlflow.db")

    with pytest.raises(StoreError, match="move the workspace back"):
        ensure_store(tmp_path)


@pytest.mark.parametrize("name", ["100%25", "what?", "a#b"])
def test_a_path_that_sqlite_cannot_address_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="rename the folder"):
        tracking_uri(tmp_path / name)


def test_a_stores_answer_is_shown_without_the_login_in_its_address() -> None:
    answer = "API request to http://me:my-secret@db.test/api/2.0 failed,\ntoo many retries"
    with (
        pytest.raises(
            StoreError, match=r"'API request to http://db\.test/api/2\.0 failed, too many retries'"
        ),
        store_errors("a run"),
    ):
        raise MlflowException(answer)
