"""Prefect's folder is made with those above it: Prefect itself makes the last one only, and warns of that."""

from pathlib import Path

import pytest

from flows.cli.in_process import running_flow
from flows.cli.log_lines import Amount
from flows.cli.run_view import viewing_run
from pkd_core.config.run_options import RunOptions


def test_a_run_with_a_server_that_is_running_makes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "artifacts" / "prefect"
    monkeypatch.setenv("PREFECT_HOME", str(home))
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.setattr("flows.service.find_server.find_server", lambda _: "http://127.0.0.1:9/api")
    monkeypatch.setattr("flows.cli.in_process._prepare_flow", lambda _: home.rmdir())
    with viewing_run(Amount.QUIET) as view, running_flow(RunOptions(), tmp_path, view):
        # It was there when libraries were loaded, Prefect among them, and is empty: it could be removed.
        assert home.parent.is_dir()
