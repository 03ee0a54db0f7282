"""Gives Prefect's server the end of those task runs that it would call running for ever."""

import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run

from flows.placement.submission import Future

_SECONDS_FOR_EVENTS = 5.0
_PAGE = 200
_NOT_FINAL = [
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
]


def record_ends(futures: Sequence[Future]) -> None:
    """Wait some seconds until the server knows the ends of task runs, then tell it those that it does not.

    Workers tell the server themselves, by events that take a while. One that was killed tells nothing.

    Args:
        futures: Of the current flow run's tasks, which were waited for.
    """
    ended = {future.task_run_id: future.state for future in futures if future.state.is_final()}
    with get_client(sync_client=True) as client:
        deadline = time.monotonic() + _SECONDS_FOR_EVENTS
        while (running := ended.keys() & set(_unfinished(client))) and time.monotonic() < deadline:
            time.sleep(0.25)
        for task_run in running:
            client.set_task_run_state(task_run, _as_told(ended[task_run]), force=True)


def _as_told(state: State[Any]) -> State[Any]:
    """Return a state without its result, which belongs to this process."""
    return State(type=state.type, name=state.name, message=state.message)


def _unfinished(client: SyncPrefectClient) -> Iterator[UUID]:
    """Yield the task runs of the current flow run that have not ended for the server."""
    of_this_run = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(str(flow_run.get_id()))]))
    states = TaskRunFilterState(type=TaskRunFilterStateType(any_=_NOT_FINAL))
    offset = 0
    while True:
        page = client.read_task_runs(
            flow_run_filter=of_this_run,
            task_run_filter=TaskRunFilter(state=states),
            limit=_PAGE,
            offset=offset,
        )
        yield from (run.id for run in page)
        offset += _PAGE
        if len(page) < _PAGE:
            return
