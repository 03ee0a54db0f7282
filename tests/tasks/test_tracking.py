"""Runs as MLflow's client returns them: what was logged, how they ended, and what a kill or a store failure leaves."""

import json
import math
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from runs import history, metrics_unavailable, run_of, settings
from sqlalchemy import event

from pkd_core.errors import DataError, StoreError
from tasks import tracking
from tasks.mlflow_store import Store
from tasks.tracking import find_run, log_report, log_values, tracked_run


def test_a_run_contains_all_that_was_logged_and_ends_finished(workspace: Path, store: Store) -> None:
    params = {"student.learning_rate": 5e-5, "distill.normalize": True, "tokens.max_length": 128}
    with tracked_run(workspace, **settings("f-all", params=params, datasets={"RTE/tokens": "a" * 32})) as run:
        for step in range(1, 46):
            run.metrics(step, {"train/total": 1 / step, "train/patience": math.nan})
        run.metrics(45, {"dev/accuracy": 0.5, "score": 0.5})

    found = store.client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "rte/pkd-skip-3l"
    tags = {key: value for key, value in found.data.tags.items() if not key.startswith("mlflow.")}
    assert tags == settings("f-all")["tags"] | {"workspace": f"{socket.gethostname()}:{workspace}"}
    assert found.data.params == {
        "student.learning_rate": "5e-05",
        "distill.normalize": "True",
        "tokens.max_length": "128",
    }
    (dataset,) = found.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("RTE/tokens", "a" * 32)
    assert history(store, run.run_id, "train/total") == [(step, 1 / step) for step in range(1, 46)]
    assert len(history(store, run.run_id, "train/patience")) == 45
    assert found.data.metrics["score"] == 0.5
    assert find_run(workspace, "f-all") == run.run_id


def test_metrics_are_sent_every_twenty_steps(workspace: Path, store: Store) -> None:
    with tracked_run(workspace, **settings("f-twenty")) as run:
        for step in range(1, 20):
            run.metrics(step, {"train/total": 1.0})
        assert history(store, run.run_id, "train/total") == []

        run.metrics(20, {"train/total": 1.0})
        assert len(history(store, run.run_id, "train/total")) == 20


def test_slow_steps_are_sent_when_seconds_have_passed(
    workspace: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_SECONDS_PER_BATCH", 0.0)
    with tracked_run(workspace, **settings("f-slow")) as run:
        run.metrics(1, {"train/total": 1.0})
        assert history(store, run.run_id, "train/total") == [(1, 1.0)]


@pytest.mark.parametrize(
    ("fingerprint", "error", "sentence"),
    [
        (
            "f-data",
            DataError("train.tsv:7: expected 4 fields, got 3"),
            "train.tsv:7: expected 4 fields, got 3",
        ),
        ("f-bug", ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        ("f-ctrl-c", KeyboardInterrupt(), "KeyboardInterrupt"),
        ("f-long", ValueError("x" * 20000), "ValueError: " + "x" * 4988),
    ],
)
def test_an_error_fails_the_run_and_is_logged_with_the_metrics_until_then(
    workspace: Path, store: Store, fingerprint: str, error: BaseException, sentence: str
) -> None:
    with pytest.raises(type(error)), tracked_run(workspace, **settings(fingerprint)) as run:
        run.metrics(1, {"train/total": 2.0})
        raise error

    found = store.client.get_run(run.run_id)
    assert found.info.status == "FAILED"
    assert found.data.tags["error"] == sentence
    assert history(store, run.run_id, "train/total") == [(1, 2.0)]
    assert find_run(workspace, fingerprint) is None


def test_the_run_of_a_killed_process_is_failed_by_the_next_run_of_its_fingerprint(
    workspace: Path, store: Store
) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from tasks.tracking import tracked_run\n"
        "def run(name):\n"
        "    tags = {'fingerprint': name}\n"
        "    return tracked_run(Path(sys.argv[1]), name='killed', tags=tags, params={}, datasets={})\n"
        "with run('f-killed'), run('f-other'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(workspace)], check=False)
    assert killed.returncode == -9
    elsewhere = store.client.create_run(
        store.experiment_id, tags={"fingerprint": "f-killed", "workspace": "another-host:/data"}
    )
    assert run_of(store, "f-other").info.status == "RUNNING"

    with tracked_run(workspace, **settings("f-killed")) as run:
        pass

    found = store.client.search_runs([store.experiment_id], "tags.fingerprint = 'f-killed'")
    statuses = {one.info.run_id: one.info.status for one in found}
    assert statuses.pop(run.run_id) == "FINISHED"
    assert statuses.pop(elsewhere.info.run_id) == "RUNNING"
    assert list(statuses.values()) == ["FAILED"]
    assert run_of(store, "f-other").info.status == "RUNNING"


def test_values_longer_than_mlflow_accepts_are_cut(workspace: Path, store: Store) -> None:
    params = {f"key.{number}": "v" for number in range(150)} | {"presets": "x" * 100_000}
    wide = settings("f-cut", params=params)
    wide["tags"]["layers"] = "y" * 100_000

    with tracked_run(workspace, **wide) as run:
        pass

    found = store.client.get_run(run.run_id)
    assert len(found.data.params) == 151
    assert found.data.params["presets"] == "x" * 6000
    assert found.data.tags["layers"].startswith("yyy")


def test_runs_in_several_threads_do_not_mix(workspace: Path, store: Store) -> None:
    def train(number: int) -> None:
        with tracked_run(workspace, **settings(f"f-thread-{number}")) as run:
            for step in range(1, 41):
                run.metrics(step, {"train/total": number})

    threads = [threading.Thread(target=train, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number in range(4):
        run = run_of(store, f"f-thread-{number}")
        assert run.info.status == "FINISHED"
        assert history(store, run.info.run_id, "train/total") == [(step, number) for step in range(1, 41)]


def test_inputs_that_another_run_logs_at_the_same_moment_are_logged_all_the_same(
    workspace: Path, store: Store
) -> None:
    datasets = {"tokens": "t-same", "teacher-states": "s-same"}
    engine = store.client._tracking_client.store.engine
    fingerprints = ["f-inputs-0", "f-inputs-1", "f-inputs-2"]
    others = iter(fingerprints[1:])

    def log_the_same_first(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO datasets") and (other := next(others, None)):
            with tracked_run(workspace, **settings(other, datasets=datasets)):
                pass

    event.listen(engine, "before_cursor_execute", log_the_same_first)
    try:
        with tracked_run(workspace, **settings(fingerprints[0], datasets=datasets)):
            pass
    finally:
        event.remove(engine, "before_cursor_execute", log_the_same_first)

    assert next(others, None) is None
    for fingerprint in fingerprints:
        run = run_of(store, fingerprint)
        assert run.info.status == "FINISHED"
        assert {given.dataset.name: given.dataset.digest for given in run.inputs.dataset_inputs} == datasets


def test_a_training_continues_while_the_store_is_unavailable(
    workspace: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with tracked_run(workspace, **settings("f-away")) as run:
        with metrics_unavailable(workspace):
            for step in range(1, 31):
                run.metrics(step, {"train/total": 1.0})
        run.metrics(31, {"train/total": 1.0})

    assert "its store answers" in caplog.text
    assert [step for step, _ in history(store, run.run_id, "train/total")] == list(range(1, 32))


def test_metrics_that_never_arrive_fail_the_run(workspace: Path, store: Store) -> None:
    with (
        metrics_unavailable(workspace),
        pytest.raises(StoreError, match="check the store and run again"),
        tracked_run(workspace, **settings("f-never")) as run,
    ):
        run.metrics(1, {"train/total": 1.0})

    assert store.client.get_run(run.run_id).info.status == "FAILED"


def test_the_error_of_a_training_is_raised_though_the_store_fails_too(workspace: Path, store: Store) -> None:
    with (
        metrics_unavailable(workspace),
        pytest.raises(DataError, match="a bad line"),
        tracked_run(workspace, **settings("f-both")) as run,
    ):
        run.metrics(1, {"train/total": 1.0})
        raise DataError("a bad line")


def test_progress_is_forwarded(workspace: Path, store: Store) -> None:
    class Listener:
        received: tuple[int, int, str] | None = None

        def metrics(self, step: int, values: Any) -> None:
            raise AssertionError("metrics go to MLflow alone")

        def progress(self, done: int, total: int, unit: str) -> None:
            self.received = (done, total, unit)

    listener = Listener()
    with tracked_run(workspace, **settings("f-progress"), progress_to=listener) as run:
        run.metrics(1, {"train/total": 1.0})
        run.progress(64, 2490, "examples")

    assert listener.received == (64, 2490, "examples")


def test_the_newest_finished_run_of_a_stage_is_found(workspace: Path, store: Store) -> None:
    run_ids = []
    for _ in range(2):
        with tracked_run(workspace, **settings("f-twice")) as run:
            run_ids.append(run.run_id)
    with pytest.raises(ValueError), tracked_run(workspace, **settings("f-twice")):
        raise ValueError
    assert find_run(workspace, "f-twice") == run_ids[1] != run_ids[0]


def test_a_final_value_is_what_tables_show_and_is_logged_once(workspace: Path, store: Store) -> None:
    with tracked_run(workspace, **settings("f-best")) as run:
        for step, score in ((78, 0.61), (156, 0.67), (234, 0.64)):
            run.metrics(step, {"score": score})

    for _ in range(2):
        log_values(workspace, run.run_id, {"score": 0.67, "parameters": 45_700_000})

    metrics = store.client.get_run(run.run_id).data.metrics
    assert metrics == {"score": 0.67, "parameters": 45_700_000}
    assert history(store, run.run_id, "score") == [(78, 0.61), (156, 0.67), (234, 0.64), (234, 0.67)]
    assert len(history(store, run.run_id, "parameters")) == 1


def test_a_report_becomes_one_run_with_its_files_table_and_scores(
    workspace: Path, store: Store, tmp_path: Path
) -> None:
    files = {"report.md": b"# RTE", "report.json": b"{}", "report.png": b"\x89PNG"}
    for name, content in (files | {"manifest.json": b"{}"}).items():
        (tmp_path / name).write_bytes(content)
    rows = [
        {"task": "RTE", "method": "finetune", "score": 0.6},
        {"task": "RTE", "method": "pkd-skip", "score": None},
    ]
    tags = {"fingerprint": "f-report", "task": "RTE"}
    scores = {"RTE/finetune-3l": 0.6}

    run_ids = {
        log_report(workspace, tmp_path, name="report/rte", tags=tags, rows=rows, scores=scores)
        for _ in range(2)
    }

    (run_id,) = run_ids
    run = store.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == scores
    assert {file.path for file in store.client.list_artifacts(run_id)} == {*files, "table.json"}
    table = json.loads(Path(store.client.download_artifacts(run_id, "table.json", str(tmp_path))).read_text())
    assert table["columns"] == ["task", "method", "score"]
    assert table["data"] == [["RTE", "finetune", 0.6], ["RTE", "pkd-skip", None]]
