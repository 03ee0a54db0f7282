"""An address in MLflow leads to the workspace's own published files, or to one sentence; it creates no database."""

from pathlib import Path

import pytest
from runs import finished

from pkd_core.errors import ModelError, StoreError
from tasks.mlflow_store import Store
from tasks.registered_stage import find_registered

FINGERPRINT = "0123456789abcdef"


@pytest.fixture(scope="module")
def folder(workspace: Path, store: Store) -> Path:
    """A stage's folder, whose model is version 1 of pkd-Found-3l, its best; those of versions 2 to 4 are nowhere."""
    store.client.create_registered_model("pkd-Found-3l")
    run_id = finished(workspace, "v-found")
    for task, fingerprint in (
        ("Found", FINGERPRINT),
        ("Found", "f" * 16),
        ("../../x", FINGERPRINT),
        ("Found", "*"),
    ):
        tags = {"task": task, "fingerprint": fingerprint}
        store.client.create_model_version("pkd-Found-3l", "file:///nowhere", run_id, tags=tags)
    store.client.set_registered_model_alias("pkd-Found-3l", "best", "1")
    path = workspace / "artifacts" / "Found" / f"kd-3l-s1-{FINGERPRINT}"
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize("address", ["models:/pkd-Found-3l@best", "models:/pkd-Found-3l/1"])
def test_an_alias_or_a_version_leads_to_the_published_folder(
    address: str, workspace: Path, folder: Path
) -> None:
    assert find_registered(workspace, address) == folder


@pytest.mark.parametrize("number", [2, 3, 4])
def test_files_that_are_gone_or_named_by_a_hostile_store_are_an_error(
    number: int, workspace: Path, folder: Path
) -> None:
    with pytest.raises(
        ModelError, match=rf"^the files of models:/pkd-Found-3l/{number} are not in .* any more; repeat"
    ):
        find_registered(workspace, f"models:/pkd-Found-3l/{number}")


@pytest.mark.parametrize(
    "address", ["models:/pkd-Found-3l@worst", "models:/pkd-Found-3l/99", "models:/pkd-Fund-3l@best"]
)
def test_what_mlflow_does_not_have_is_answered_with_what_it_has(
    address: str, workspace: Path, folder: Path
) -> None:
    with pytest.raises(
        ModelError, match=rf"^MLflow has no {address}; the names that it has are .*pkd-Found-3l"
    ):
        find_registered(workspace, address)


def test_without_a_database_none_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="there is no MLflow database in "):
        find_registered(tmp_path, "models:/pkd-Found-3l@best")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        StoreError, match=r"^MLflow needs to find models:/pkd-Found-3l@best, but its store answers"
    ):
        find_registered(tmp_path, "models:/pkd-Found-3l@best")


def test_a_database_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=r"mlflow\.db, but SQLite answers 'file is not a database'"):
        find_registered(tmp_path, "models:/pkd-Found-3l@best")
