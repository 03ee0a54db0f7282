"""A workspace of small tasks, and a terminal that is wide enough for every table."""

from pathlib import Path

import pytest
from tiny import write_tiny_model, write_tiny_task


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
