"""A process that dies at any of its writes to MLflow leaves what the next run completes: runs, points and versions."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from mlflow.entities import Run
from runs import contents_of, file_of

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.runtime.observer import LogObserver
from tasks import completion, logged_model, tracking
from tasks.completion import complete_run, complete_values
from tasks.logged_model import log_card, log_model
from tasks.mlflow_store import Store
from tasks.registry import has_score, register, score_tags, set_score, version_of
from tasks.tracking import tracked_run

POINTS = [(1, {"train/total": 0.5}), (2, {"train/total": 0.25}), (2, {"dev/f1": 0.75})]


class Death(BaseException):
    """Stands for the end of the process."""


class MortalClient:
    """MLflow's client, which dies just before one of its calls, and does nothing any more from then on.

    Only calls that write count: to die before one that reads leaves the same as to die before the next that writes.

    Args:
        client: MLflow's own client.
        calls_left: The calls that succeed; None for all.
    """

    def __init__(self, client: Any, calls_left: int | None) -> None:
        self._client = client
        self._calls_left = calls_left
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not name.startswith(("get_", "search_")):
                if len(self.calls) == self._calls_left:
                    raise Death(name)
                self.calls.append(name)
            return getattr(self._client, name)(*args, **kwargs)

        return call


def write_small_model(store: Store, model: Any, *_: Any) -> None:
    """Write the files of a logged model without loading one, which takes a second."""
    store.client.log_model_artifacts(model.model_id, str(Path(__file__).with_name("small_model")))


def compute(workspace: Path, fingerprint: str, resumes: bool) -> None:
    """Log a training while it is computed, as the pipeline does."""
    file, contents = file_of(workspace, fingerprint), contents_of(fingerprint, params={"student.seed": 1})
    with tracked_run(workspace, file, contents, LogObserver(fingerprint), resumes) as run:
        for step, values in POINTS:
            run.metrics(step, values)


def complete(workspace: Path, fingerprint: str) -> None:
    """Log what is left once the training and its evaluation are published, as each run of the pipeline does."""
    name = f"pkd-{fingerprint}"

    def add_model(store: Store, run_id: str) -> None:
        run = store.client.get_run(run_id)
        model = log_model(
            store, run, workspace, name=fingerprint, task=GLUE_TASKS["RTE"], max_length=8, examples=[]
        )
        register(store, run, model, name)

    def add_score(store: Store, run: Run) -> None:
        version = version_of(store, name, run.info.run_id)
        tags = score_tags(0.75, "f1", "e" * 32)
        if not has_score(version, tags):
            log_card(store, version, "a card")
        set_score(store, version, tags)

    file, contents = file_of(workspace, fingerprint), contents_of(fingerprint, params={"student.seed": 1})
    complete_run(workspace, file, contents, "d1", POINTS, add_model)
    complete_values(workspace, fingerprint, "d1", {"score": 0.75}, add_score)


def card_of(model: Any) -> str:
    return (Path(url2pathname(urlsplit(model.artifact_location).path)) / "README.md").read_text()


def without_ids(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key not in ("attempt", "fingerprint")}


def snapshot(store: Store, fingerprint: str) -> dict[str, Any]:
    """Return all that MLflow holds of a training, without ids and times; equal points count twice."""
    runs = store.client.search_runs([store.experiment_id], f"tags.fingerprint = '{fingerprint}'")
    name = f"pkd-{fingerprint}"
    models = store.client.search_logged_models([store.experiment_id], f"name = '{fingerprint}'")
    versions = store.client.search_model_versions(f"name = '{name}'")
    registered = store.client.get_registered_model(name)
    return {
        "runs": [
            {
                "status": run.info.status,
                "params": run.data.params,
                "error": run.data.tags.get("error"),
                "digest": run.data.tags.get("digest"),
                "points": {
                    key: [
                        (point.step, point.value)
                        for point in store.client.get_metric_history(run.info.run_id, key)
                    ]
                    for key in run.data.metrics
                },
                "num_models": len(run.outputs.model_outputs) if run.outputs else 0,
            }
            for run in runs
        ],
        "models": [(model.status, sorted(model.tags), card_of(model)) for model in models],
        "versions": [
            (version.version, without_ids(version.tags), version.description) for version in versions
        ],
        "aliases": registered.aliases,
        "description": registered.description,
    }


@pytest.fixture
def mortal(store: Store, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that gives the code a client that dies after some calls."""

    def use(calls_left: int | None) -> MortalClient:
        client = MortalClient(store.client, calls_left)
        mortal_store = Store(client, store.experiment_id)  # type: ignore[arg-type]
        for module in (tracking, completion):
            monkeypatch.setattr(module, "ensure_store", lambda _: mortal_store)
        return client

    monkeypatch.setattr(logged_model, "_write", write_small_model)
    return use


def test_death_at_any_call_leaves_what_the_next_run_completes(
    workspace: Path, store: Store, mortal: Any
) -> None:
    calls = mortal(None).calls
    compute(workspace, "k-undisturbed", resumes=False)
    num_before_publishing = len(calls)
    complete(workspace, "k-undisturbed")
    expected = snapshot(store, "k-undisturbed")
    assert expected["runs"][0]["points"] == {
        "train/total": [(1, 0.5), (2, 0.25)],
        "dev/f1": [(2, 0.75)],
        "score": [(0, 0.75)],
    }
    (version,) = expected["versions"]
    assert version[1:] == (
        {
            "task": "RTE",
            "method": "pkd-skip",
            "layers": "3",
            "seed": "42",
            "metric": "f1",
            "dev_data": "e" * 12,
            "score": "0.750000",
        },
        "f1 75.0 on dev: pkd-skip, 3 layers, seed 42.",
    )
    assert expected["aliases"] == {"newest": 1, "best": 1}
    assert len(calls) >= 20
    for num_calls, name in enumerate(calls):
        fingerprint = f"k-{num_calls}"
        mortal(num_calls)
        with pytest.raises(Death):
            compute(workspace, fingerprint, resumes=False)
            complete(workspace, fingerprint)
        mortal(None)
        if num_calls < num_before_publishing:
            compute(workspace, fingerprint, resumes=True)
        complete(workspace, fingerprint)
        assert snapshot(store, fingerprint) == expected, f"death before call {num_calls}, {name}"
