"""Task runs that nobody runs any more are ended on Prefect's server, from what the process of the run knows of them."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, get_client, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Crashed, Running

from flows.placement import ends


def running_task(client: SyncPrefectClient, name: str) -> UUID:
    """Return the id of a task run of this flow run, whose worker has told the server only that it began."""
    run = client.create_task_run(
        task(lambda: None, name=name),
        flow_run_id=UUID(str(flow_run.get_id())),
        dynamic_key=name,
        state=Running(),
    )
    return run.id


def test_a_task_run_whose_worker_was_killed_gets_the_end_that_its_future_has(
    server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "_SECONDS_FOR_EVENTS", 0.0)
    seen: dict[str, State[Any]] = {}

    @flow(name="ends")
    def run() -> None:
        with get_client(sync_client=True) as client:
            ids = {name: running_task(client, name) for name in ("killed", "told-late", "not-ended")}
            known = {
                "killed": Crashed(message="its worker died"),
                "told-late": Completed(data={"secret": 1}),
                "not-ended": Running(),
            }
            futures: Any = [SimpleNamespace(task_run_id=ids[name], state=known[name]) for name in ids]
            ends.record_ends(futures)
            seen.update({name: client.read_task_run(ids[name]).state for name in ids})

    run()
    assert {name: state.type.value for name, state in seen.items()} == {
        "killed": "CRASHED",
        "told-late": "COMPLETED",
        "not-ended": "RUNNING",
    }
    assert seen["killed"].message == "its worker died"
    assert seen["told-late"].data is None
