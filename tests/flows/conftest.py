"""A workspace of small tasks, and one Prefect server for all tests of this folder: starting one takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import write_tiny_model, write_tiny_task

from flows.environment import prefect_server, prepare_environment


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prefect's own server for as long as the tests run, found by every flow run of this process."""
    prepare_environment(tmp_path_factory.mktemp("prefect"))
    with prefect_server():
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of four layers."""
    folder = tmp_path_factory.mktemp("model") / "tiny-bert"
    write_tiny_model(folder)
    return folder


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with the task Tiny, as the current folder."""
    write_tiny_task(tmp_path / "data_raw")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are cut to the terminal's width, which is 80 columns where there is no terminal."""
    monkeypatch.setenv("COLUMNS", "250")
