"""The reasons of a run's failures: those of stages that failed by themselves, also where Ray lost their process."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed, Pending, exception_to_crashed_state
from prefect.utilities.asyncutils import run_coro_as_sync
from ray import exceptions

from flows.summary import name_failures


def crashed(error: Exception) -> State[Any]:
    """Return what Prefect's future for Ray makes of an error."""
    state = run_coro_as_sync(exception_to_crashed_state(error))
    assert state is not None
    return state


def failures(states: Mapping[str, State[Any]], inputs: Mapping[str, str]) -> dict[str, str]:
    futures: Any = {key: SimpleNamespace(state=state) for key, state in states.items()}
    stages: Any = [
        SimpleNamespace(key=key, inputs={"input": inputs[key]} if key in inputs else {}) for key in states
    ]
    return name_failures(futures, stages)


def test_of_a_chain_only_the_stage_that_crashed_by_itself_is_named() -> None:
    lost = exceptions.WorkerCrashedError()
    passed_on = exceptions.RayTaskError("student", "a traceback", lost).as_instanceof_cause()
    states = {"A/teacher": crashed(lost), "A/kd": crashed(passed_on), "A/evaluation-kd": crashed(passed_on)}
    assert failures(states, {"A/kd": "A/teacher", "A/evaluation-kd": "A/kd"}) == {
        "A/teacher": "its worker process died each time that it was tried (it was killed, or ended itself)"
    }


def test_a_stage_whose_input_failed_is_not_named() -> None:
    states = {
        "A/teacher": Failed(message="the loss is not finite."),
        "A/kd": Pending(name="NotReady", message="Upstream task run did not reach a 'COMPLETED' state."),
        "A/evaluation-kd": Pending(name="NotReady"),
        "B/teacher": Completed(),
    }
    inputs = {"A/kd": "A/teacher", "A/evaluation-kd": "A/kd"}
    assert failures(states, inputs) == {"A/teacher": "the loss is not finite."}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            exceptions.OutOfMemoryError("Task was killed"),
            "its machine had too little memory each time that it was tried",
        ),
        (exceptions.TaskCancelledError(), "it was stopped before it began"),
        (
            exceptions.RayTaskError(
                "tokens", "a traceback", exceptions.RaySystemError("No module named 'pkd_core'")
            ).as_instanceof_cause(),
            "its worker could not read it, as with another version of pkd or its packages",
        ),
        (KeyError("a fault of ours"), "Execution was interrupted by an unexpected exception: KeyError:"),
    ],
)
def test_what_ray_says_of_a_lost_stage_is_a_plain_sentence(error: Exception, reason: str) -> None:
    assert failures({"A/tokens": crashed(error)}, {})["A/tokens"].startswith(reason)
