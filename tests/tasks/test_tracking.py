"""A stage's MLflow run while the stage is computed: what is logged, and what an error or a store failure leaves."""

import math
import threading
from pathlib import Path
from typing import Any

import pytest
from runs import complete, finished, history, run_of, table_unavailable, tracked
from sqlalchemy import event

from pkd_core.errors import DataError, StoreError
from tasks import tracking
from tasks.mlflow_store import Store


def test_a_run_contains_all_that_was_logged_and_is_running_until_its_stage_is_published(
    workspace: Path, store: Store
) -> None:
    params = {"student.learning_rate": 5e-5, "distill.normalize": True, "tokens.max_length": 128}
    with tracked(workspace, "f-all", params=params, datasets={"RTE/tokens": "a" * 32}) as run:
        for step in range(1, 46):
            run.metrics(step, {"train/total": 1 / step, "train/patience": math.nan})
        run.metrics(45, {"dev/accuracy": 0.5})

    found = store.client.get_run(run.run_id)
    assert found.info.status == "RUNNING"
    assert found.info.run_name == "rte/pkd-skip-3l"
    tags = {key: value for key, value in found.data.tags.items() if not key.startswith("mlflow.")}
    assert len(tags.pop("attempt")) == 32
    assert tags == {"task": "RTE", "method": "pkd-skip", "layers": "3", "seed": "42", "fingerprint": "f-all"}
    assert found.data.params == {
        "student.learning_rate": "5e-05",
        "distill.normalize": "True",
        "tokens.max_length": "128",
    }
    (dataset,) = found.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("RTE/tokens", "a" * 32)
    assert history(store, run.run_id, "train/total") == [(step, 1 / step) for step in range(1, 46)]
    assert len(history(store, run.run_id, "train/patience")) == 45
    assert found.data.metrics["dev/accuracy"] == 0.5


def test_metrics_are_sent_every_twenty_steps(workspace: Path, store: Store) -> None:
    with tracked(workspace, "f-twenty") as run:
        for step in range(1, 20):
            run.metrics(step, {"train/total": 1.0})
        assert history(store, run.run_id, "train/total") == []

        run.metrics(20, {"train/total": 1.0})
        assert len(history(store, run.run_id, "train/total")) == 20


def test_losses_of_every_so_many_steps_are_sent_and_all_dev_scores(workspace: Path, store: Store) -> None:
    points = [(step, {"train/total": 1 / step}) for step in range(1, 26)]
    points += [(7, {"dev/accuracy": 0.5}), (25, {"dev/accuracy": 0.75})]
    with tracked(workspace, "f-every", every=10) as run:
        for step, values in [*points[:12], points[-2]]:
            run.metrics(step, values)
    assert history(store, run.run_id, "train/total") == [(10, 1 / 10)]
    assert complete(workspace, "f-every", points, every=10) == [run.run_id]
    assert history(store, run.run_id, "train/total") == [(10, 1 / 10), (20, 1 / 20)]
    assert history(store, run.run_id, "dev/accuracy") == [(7, 0.5), (25, 0.75)]


def test_slow_steps_are_sent_when_seconds_have_passed(
    workspace: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_SECONDS_PER_BATCH", 0.0)
    with tracked(workspace, "f-slow") as run:
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
    with pytest.raises(type(error)), tracked(workspace, fingerprint) as run:
        run.metrics(1, {"train/total": 2.0})
        raise error

    found = store.client.get_run(run.run_id)
    assert found.info.status == "FAILED"
    assert found.data.tags["error"] == sentence
    assert history(store, run.run_id, "train/total") == [(1, 2.0)]


def test_values_longer_than_mlflow_accepts_are_cut(workspace: Path, store: Store) -> None:
    params = {f"key.{number}": "v" for number in range(150)} | {"presets": "x" * 100_000}
    tags = {"fingerprint": "f-cut", "layers": "y" * 100_000}
    with tracked(workspace, "f-cut", params=params, tags=tags) as run:
        pass

    found = store.client.get_run(run.run_id)
    assert len(found.data.params) == 151
    assert found.data.params["presets"] == "x" * 6000
    assert found.data.tags["layers"].startswith("yyy")


def test_runs_in_several_threads_do_not_mix(workspace: Path, store: Store) -> None:
    def train(number: int) -> None:
        with tracked(workspace, f"f-thread-{number}") as run:
            for step in range(1, 41):
                run.metrics(step, {"train/total": number})

    threads = [threading.Thread(target=train, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number in range(4):
        run = run_of(store, f"f-thread-{number}")
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
            finished(workspace, other, datasets=datasets)

    event.listen(engine, "before_cursor_execute", log_the_same_first)
    try:
        finished(workspace, fingerprints[0], datasets=datasets)
    finally:
        event.remove(engine, "before_cursor_execute", log_the_same_first)

    assert next(others, None) is None
    for fingerprint in fingerprints:
        run = run_of(store, fingerprint)
        assert run.info.status == "FINISHED"
        assert {given.dataset.name: given.dataset.digest for given in run.inputs.dataset_inputs} == datasets


def test_a_training_continues_while_the_store_is_unavailable_and_rarely_tries_it_again(
    workspace: Path, store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_PATIENCE", 1000)
    with tracked(workspace, "f-away") as run:
        with table_unavailable(workspace):
            for step in range(1, 61):
                run.metrics(step, {"train/total": 1.0})
        run.metrics(61, {"train/total": 1.0})
    assert caplog.text.count("its store answers") == 1
    assert history(store, run.run_id, "train/total") == []

    complete(workspace, "f-away", [(step, {"train/total": 1.0}) for step in range(1, 62)])
    assert [step for step, _ in history(store, run.run_id, "train/total")] == list(range(1, 62))
    assert store.client.get_run(run.run_id).info.status == "FINISHED"


def test_flushing_sends_what_is_unsent_and_continues_while_the_store_is_unavailable(
    workspace: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_PATIENCE", 0)
    with tracked(workspace, "f-settled") as run:
        run.metrics(1, {"train/total": 1.0})
        with table_unavailable(workspace):
            run.flush()
        assert history(store, run.run_id, "train/total") == []
        run.flush()
        assert history(store, run.run_id, "train/total") == [(1, 1.0)]


def test_the_error_of_a_training_is_raised_though_the_store_fails_too(workspace: Path, store: Store) -> None:
    with (
        table_unavailable(workspace),
        pytest.raises(DataError, match="a bad line"),
        tracked(workspace, "f-both") as run,
    ):
        run.metrics(1, {"train/total": 1.0})
        raise DataError("a bad line")


def test_a_store_that_refuses_the_run_fails_the_stage_before_it_computes(
    workspace: Path, store: Store
) -> None:
    with (
        table_unavailable(workspace, "runs"),
        pytest.raises(
            StoreError, match=r"^MLflow needs to log rte/pkd-skip-3l, .*; check the store and run again"
        ),
        tracked(workspace, "f-refused"),
    ):
        raise AssertionError("nothing is computed")


def test_progress_and_metrics_are_forwarded_to_what_shows_them(workspace: Path, store: Store) -> None:
    class Listener:
        received: tuple[int, int, str] | None = None
        values: Any = None

        def metrics(self, step: int, values: Any) -> None:
            self.values = step, values

        def progress(self, done: int, total: int, unit: str) -> None:
            self.received = (done, total, unit)

        def flush(self) -> None:
            raise AssertionError("nothing is kept")

    listener = Listener()
    with tracked(workspace, "f-progress", progress_to=listener) as run:
        run.metrics(1, {"train/total": 1.0})
        run.progress(64, 2490, "examples")

    assert listener.received == (64, 2490, "examples")
    assert listener.values == (1, {"train/total": 1.0})
