"""A workspace of small tasks, and one Prefect server for all tests of this folder: starting one takes seconds."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import write_tiny_model, write_tiny_task

from flows.environment import prepare_environment
from flows.service.own_server import own_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prefect's own server for as long as the tests run, found by every flow run of this process, and by no other."""
    folder = tmp_path_factory.mktemp("prefect")
    prepare_environment(folder)
    before = os.environ["PREFECT_API_URL"]
    with own_server(folder / "logs"), pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PREFECT_API_URL", before)
        monkeypatch.delenv("PREFECT_API_AUTH_STRING")
        monkeypatch.delenv("PREFECT_UI_URL")
        yield


@pytest.fixture(scope="session")
def server_variables(server: None) -> dict[str, str]:
    """The environment of a command line in this process that finds the server."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

    return {
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "PREFECT_API_AUTH_STRING": str(PREFECT_API_AUTH_STRING.value()),
    }


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
