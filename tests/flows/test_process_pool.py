"""A whole run by a process worker of a work pool, whose deployment was changed on the server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import run_pkd
from tiny import quick_arguments

from flows.latest_report import latest_report

POOLS = Path(__file__).resolve().parents[2] / "deploy" / "pools"


@pytest.mark.slow
def test_a_pools_worker_runs_pkds_own_flow_whatever_the_deployment_names(
    workspace: Path, tiny_model: Path, server_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = workspace / "bin"
    programs.mkdir()
    (programs / "pkd").write_text(f'#!/bin/sh\nexec {sys.executable} -m flows.cli "$@"\n', encoding="utf-8")
    (programs / "pkd").chmod(0o755)
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    for name, value in (server_variables | {"PATH": path}).items():
        monkeypatch.setenv(name, value)
    template = (POOLS / "process.json").read_text(encoding="utf-8").replace("WORKSPACE", str(workspace))
    (workspace / "pool.json").write_text(template, encoding="utf-8")

    def prefect(*arguments: str) -> str:
        command = [sys.executable, "-m", "prefect", *arguments]
        done = subprocess.run(
            command, cwd=workspace, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    prefect("work-pool", "create", "tiny", "--type", "process", "--base-job-template", "pool.json")
    arguments = [*quick_arguments(), "--methods", "finetune", "--model", str(tiny_model)]
    assert run_pkd("deploy", "Tiny", "--pool", "tiny", *arguments) == 0
    _change_deployment(workspace / "bad")
    prefect("deployment", "run", "pkd/full-glue")
    log = prefect("worker", "start", "--pool", "tiny", "--run-once")
    assert "Completed('1 of 1 tasks done" in log
    report = latest_report(workspace)
    assert report is not None
    assert "finetune" in (report / "report.md").read_text(encoding="utf-8")
    assert not (workspace / "bad").exists()


def _change_deployment(bad: Path) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentUpdate

    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("pkd/full-glue")
        step = {"prefect.deployments.steps.run_shell_script": {"script": f"touch {bad}"}}
        client.update_deployment(deployment.id, DeploymentUpdate(pull_steps=[step], entrypoint="bad.py:pkd"))
