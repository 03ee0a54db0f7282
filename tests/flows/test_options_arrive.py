"""Options of the command line, the flow and the deployment reach the stages, and a run is planned once."""

from pathlib import Path
from typing import Any

import pytest
from command import run_pkd

import flows.service.up
import tasks.run_stage
from flows.pkd import pkd
from flows.request import Request
from flows.workspace import given_workspace
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import StoreError
from pkd_core.pipeline import models
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.models import PretrainedModel, find_model
from pkd_core.pipeline.stage import Stage

OPTIONS = RunOptions(device="cpu", deep=True, strict=True, checkpoint_minutes=0.25, mlflow_every=7)
TYPED = (
    *("--device", "cpu", "--deep", "--strict", "--checkpoint-minutes", "0.25"),
    *("--mlflow-every", "7"),
    *("--methods", "kd,pkd-last", "--student-layers", "3,2", "--seeds", "5,6"),
)
RUN = {"methods": ("kd", "pkd-last"), "student_layers": (3, 2), "seeds": (5, 6)}


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Stage, RunContext]]:
    """The stages that the flow tries to build, each with its context; none is built."""
    seen: list[tuple[Stage, RunContext]] = []

    def refuse(stage: Stage, _inputs: Any, context: RunContext, *_: Any) -> None:
        seen.append((stage, context))
        raise StoreError("not in this test.")

    monkeypatch.setattr(tasks.run_stage, "build", refuse)
    return seen


@pytest.fixture
def num_plans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were located, and whose weights were hashed."""
    located: list[str] = []

    def spy(name: str, option: str = "--model") -> PretrainedModel:
        located.append(name)
        return find_model(name, option)

    monkeypatch.setattr(models, "find_model", spy)
    return located


def test_the_command_lines_options_reach_the_stages_of_a_run_that_is_planned_once(
    workspace: Path,
    tiny_model: Path,
    server_variables: dict[str, str],
    stages: list[tuple[Stage, RunContext]],
    num_plans: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in server_variables.items():
        monkeypatch.setenv(name, value)
    assert run_pkd("run", "Tiny", "--model", str(tiny_model), *TYPED) == 2
    assert "1 of 1 tasks failed: Tiny tokens: not in this test" in capfd.readouterr().err
    ((stage, context),) = stages
    assert stage.key == "Tiny/tokens"
    assert context.options == OPTIONS
    assert (context.workspace, context.model.folder) == (workspace, tiny_model)
    assert num_plans == [str(tiny_model)]


def test_the_flows_parameters_reach_the_stages(
    workspace: Path, tiny_model: Path, server: None, stages: list[tuple[Stage, RunContext]]
) -> None:
    state = pkd(
        tasks=["Tiny"],
        model=str(tiny_model),
        workspace=str(workspace),
        return_state=True,
        **OPTIONS.model_dump(),
    )
    assert state.is_failed()
    ((_, context),) = stages
    assert (context.options, context.workspace) == (OPTIONS, workspace)


def test_the_services_arguments_are_the_deployments_defaults(
    workspace: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Request] = []
    monkeypatch.setattr(
        flows.service.up, "serve_until_stopped", lambda request, _wanted: served.append(request)
    )
    assert run_pkd("up", "Tiny", "--model", str(tiny_model), *TYPED, "distill.beta=3") == 0
    (request,) = served
    assert request.options == OPTIONS
    parameters = request.parameters()
    assert Request.build(parameters, given_workspace(parameters)) == Request(request.run, OPTIONS, workspace)
    assert {key: getattr(request.run, key) for key in RUN} == RUN
    assert (request.run.tasks, request.run.settings) == (("Tiny",), {"distill.beta": 3.0})
