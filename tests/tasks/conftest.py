"""One MLflow store for all tests of this folder: creating one takes seconds."""

from pathlib import Path

import pytest

from tasks.mlflow_store import Store, ensure_store


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work space")


@pytest.fixture(scope="session")
def store(workspace: Path) -> Store:
    return ensure_store(workspace)
