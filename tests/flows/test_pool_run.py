"""`pkd deploy` and the process of a work pool's flow run."""

import os
from pathlib import Path

import pytest
from command import run_pkd

from flows.service.pool_run import read_secrets
from pkd_core.errors import StoreError

RUN_ID = "00000000-0000-4000-8000-000000000000"


def test_each_file_of_the_secrets_becomes_a_variable_unless_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "..2026_11_27"
    hidden.mkdir()
    (hidden / "PKD_TEST_SECRET").write_text("one two\n", encoding="utf-8")
    (tmp_path / "PKD_TEST_SECRET").symlink_to(hidden / "PKD_TEST_SECRET")  # as Kubernetes mounts them
    (tmp_path / "PKD_TEST_GIVEN").write_text("file", encoding="utf-8")
    monkeypatch.setenv("PKD_SECRETS", str(tmp_path))
    monkeypatch.setenv("PKD_TEST_GIVEN", "environment")
    monkeypatch.setenv("PKD_TEST_SECRET", "")
    monkeypatch.delenv("PKD_TEST_SECRET")
    read_secrets()
    assert os.environ["PKD_TEST_SECRET"] == "one two"
    assert os.environ["PKD_TEST_GIVEN"] == "environment"
    monkeypatch.setenv("PKD_SECRETS", str(tmp_path / "none"))
    with pytest.raises(StoreError, match="none"):
        read_secrets()


@pytest.mark.parametrize("variables", [{}, {"PREFECT__FLOW_RUN_ID": RUN_ID}, {"PKD_SERVICE_ROOT": "."}])
def test_the_pools_command_typed_by_hand_says_what_starts_a_run(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PREFECT__FLOW_RUN_ID", "PKD_SERVICE_ROOT", "PKD_SECRETS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run_pkd("flow-run") == 2
    assert "prefect deployment run" in capsys.readouterr().err


def test_a_pool_that_is_missing_is_named_with_the_command_that_creates_it(
    workspace: Path,
    server_variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in server_variables.items():
        monkeypatch.setenv(name, value)
    assert run_pkd("deploy", "Tiny", "--pool", "none") == 2
    assert "prefect work-pool create none" in capsys.readouterr().err


def test_deploying_without_a_server_says_how_to_name_one(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("flows.service.find_server.SERVER_URL", "http://127.0.0.1:9/api")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert run_pkd("deploy", "Tiny", "--pool", "gpus") == 2
    assert "PREFECT_API_URL" in capsys.readouterr().err
