"""A task's models of one depth are versions of one name, whose alias `best` is the highest dev score."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from runs import finished

from pkd_core.errors import StoreError
from tasks.mlflow_store import Store
from tasks.registry import complete_versions, fill_aliases, register, score_tags, set_score, version_of

DEV = "d" * 32


class Models:
    """Creates trainings with small logged models, and registers them under one name."""

    def __init__(self, workspace: Path, store: Store, name: str) -> None:
        self.workspace, self.store, self.name = workspace, store, name

    def add(self, seed: int) -> Run:
        tags = {
            "task": "RTE",
            "method": "kd",
            "layers": "3",
            "seed": str(seed),
            "base_model": "tiny-bert",
            "fingerprint": f"{self.name}-{seed}",
        }
        run = self.store.client.get_run(finished(self.workspace, f"{self.name}-{seed}", tags=tags))
        model = self.store.client.create_logged_model(
            self.store.experiment_id, name=f"RTE-kd-3l-s{seed}", source_run_id=run.info.run_id
        )
        self.store.client.log_model_artifacts(model.model_id, str(Path(__file__).with_name("small_model")))
        register(self.store, run, self.store.client.finalize_logged_model(model.model_id, "READY"), self.name)
        return run

    def score(self, run: Run, score: float, metric: str = "accuracy", dev_data: str = DEV) -> None:
        set_score(self.store, self.version(run), score_tags(score, metric, dev_data))

    def version(self, run: Run) -> ModelVersion:
        return version_of(self.store, self.name, run.info.run_id)

    @property
    def aliases(self) -> dict[str, Any]:
        aliases: dict[str, Any] = self.store.client.get_registered_model(self.name).aliases
        return aliases


@pytest.fixture
def models(workspace: Path, store: Store, request: pytest.FixtureRequest) -> Iterator[Models]:
    yield Models(workspace, store, f"pkd-{request.node.originalname[-30:]}")


def test_the_best_version_has_the_highest_score_and_the_older_one_of_equals(models: Models) -> None:
    runs = [models.add(seed) for seed in (1, 2, 3)]
    assert models.aliases == {"newest": 3}
    for run, score, best in zip(runs, (0.6, 0.7, 0.7), (1, 2, 2), strict=True):
        models.score(run, score)
        assert models.aliases == {"newest": 3, "best": best}
    models.score(runs[1], 0.65)
    assert models.aliases == {"newest": 3, "best": 3}


def test_a_version_has_its_score_as_tags_and_in_its_description(models: Models) -> None:
    run = models.add(7)
    assert models.version(run).description == "kd, 3 layers, seed 7, from tiny-bert."
    models.score(run, 0.6606498194945848)
    version = models.version(run)
    assert version.description == "accuracy 66.1 on dev: kd, 3 layers, seed 7, from tiny-bert."
    names = ("task", "method", "layers", "seed", "base_model", "score", "metric", "dev_data")
    assert [version.tags[name] for name in names] == [
        "RTE",
        "kd",
        "3",
        "7",
        "tiny-bert",
        "0.660650",
        "accuracy",
        "d" * 12,
    ]
    described = models.store.client.get_registered_model(models.name).description
    assert described.startswith("All students of 3 layers of RTE. `best` has the highest dev score")


@pytest.mark.parametrize("other", [{"metric": "f1"}, {"dev_data": "e" * 32}])
def test_scores_of_another_metric_or_other_data_do_not_compare(
    models: Models, other: dict[str, str], store: Store
) -> None:
    models.name += next(iter(other))
    runs = [models.add(seed) for seed in (1, 2, 3)]
    models.score(runs[0], 0.9)
    models.score(runs[1], 0.6, **other)
    assert models.aliases["best"] == 2
    models.score(runs[2], 0.7, **other)
    assert models.aliases["best"] == 3


def test_what_somebody_typed_as_a_score_is_not_the_best(models: Models, store: Store) -> None:
    runs = [models.add(seed) for seed in (1, 2, 3)]
    for run, typed in zip(runs[1:], ("very good", "nan"), strict=True):
        store.client.set_model_version_tag(models.name, str(models.version(run).version), "score", typed)
    models.score(runs[0], 0.6)
    assert models.aliases["best"] == 1


def test_an_alias_that_another_run_sets_late_is_corrected(
    models: Models, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [models.add(seed) for seed in (1, 2)]
    models.score(runs[0], 0.6)
    set_alias = store.client.set_registered_model_alias
    late = iter([1])

    def overtaken(name: str, alias: str, version: str) -> None:
        """Another run has read the versions before the second score, and writes after this one."""
        set_alias(name, alias, version)
        if alias == "best" and (number := next(late, None)):
            set_alias(name, "best", str(number))

    monkeypatch.setattr(store.client, "set_registered_model_alias", overtaken)
    models.score(runs[1], 0.7)
    assert models.aliases["best"] == 2


def test_an_alias_that_another_run_creates_at_the_same_moment_is_no_error(
    models: Models, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = models.add(1)
    set_alias = store.client.set_registered_model_alias

    def beaten(name: str, alias: str, version: str) -> None:
        """Another run creates the alias first; the database then answers that it is not unique."""
        set_alias(name, alias, version)
        raise MlflowException("UNIQUE constraint failed: registered_model_aliases.alias")

    monkeypatch.setattr(store.client, "set_registered_model_alias", beaten)
    models.score(run, 0.6)
    assert models.aliases == {"newest": 1, "best": 1}


def test_an_alias_that_cannot_be_set_is_an_error(
    models: Models, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = models.add(1)

    def refused(*_: str) -> None:
        raise MlflowException("read-only")

    monkeypatch.setattr(store.client, "set_registered_model_alias", refused)
    with pytest.raises(MlflowException, match="read-only"):
        models.score(run, 0.6)


def test_a_name_with_a_wrong_alias_is_not_complete_until_it_is_filled(models: Models, store: Store) -> None:
    run = models.add(1)
    models.score(run, 0.6)
    key = (models.name, run.info.run_id)
    assert complete_versions(store)[key].tags["score"] == "0.600000"
    store.client.delete_registered_model_alias(models.name, "best")
    assert key not in complete_versions(store)
    fill_aliases(store, models.name)
    assert key in complete_versions(store)


def test_a_run_without_a_version_is_an_error(models: Models) -> None:
    models.add(1)
    with pytest.raises(StoreError, match=rf"no version of {models.name} for the run none; run again"):
        version_of(models.store, models.name, "none")
