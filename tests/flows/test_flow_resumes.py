"""A run that was stopped in a training resumes the training and its MLflow run."""

import threading
import time
from pathlib import Path

import pytest
from flow_runs import start
from tiny import write_tiny_model, write_tiny_task

from pkd_core.runtime.cancellation import request_stop
from tasks.mlflow_store import ensure_store

NUM_EPOCHS = 15


@pytest.mark.slow
def test_a_resumed_training_has_one_mlflow_run_with_each_step_once(tmp_path: Path, server: None) -> None:
    write_tiny_model(tmp_path / "model")
    write_tiny_task(tmp_path / "data_raw", "TinyA")

    def stop_at_checkpoint() -> None:
        while not list(tmp_path.glob("artifacts/TinyA/.work/teacher-*/checkpoint/state.json")):
            time.sleep(0.005)
        request_stop()

    stopping = threading.Thread(target=stop_at_checkpoint, daemon=True)
    stopping.start()
    assert start(tmp_path, ("TinyA",), teacher__num_epochs=NUM_EPOCHS).is_failed()
    stopping.join()
    assert start(tmp_path, ("TinyA",), teacher__num_epochs=NUM_EPOCHS).is_completed()

    store = ensure_store(tmp_path)
    runs = store.client.search_runs([store.experiment_id], "tags.method = 'teacher'")
    (run,) = (run for run in runs if run.data.tags["task"] == "TinyA")
    assert run.info.status == "FINISHED"
    steps = [metric.step for metric in store.client.get_metric_history(run.info.run_id, "train/total")]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= NUM_EPOCHS
