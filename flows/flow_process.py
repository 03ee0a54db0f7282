"""What both flows do in their process: set it up, stop at signals, and end in a state of one sentence."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import State
from prefect.runtime import deployment
from prefect.states import Failed
from prefect.utilities.asyncutils import run_coro_as_sync

from flows.dead_threads import ending_at_dead_threads
from flows.environment import show_progress
from flows.service.root import check_below_root
from flows.stopping import received_signal, redeliver, stopping_at_signals
from pkd_core.errors import PkdError
from pkd_core.runtime.process_setup import configure_process
from pkd_core.store.os_errors import resource_errors


def set_up_process(workspace: Path) -> None:
    """Set up the process of a deployment's run, which nobody else has set up.

    Raises:
        ConfigError: The workspace is not below that of the service.
    """
    if deployment.id:
        show_progress()
        check_below_root(workspace)
        configure_process()


@contextmanager
def working() -> Iterator[None]:
    """Stop the stages at a signal, and end a deployment's process whose threads have died, while the body runs."""
    # Prefect's own thread for such calls opens files when it starts, and hangs if it may open no more.
    run_coro_as_sync(asyncio.sleep(0))
    ending = ending_at_dead_threads() if deployment.id else nullcontext()
    with resource_errors("this run"), stopping_at_signals(), ending:
        yield


def end_in_sentence(work: Callable[[], State[Any]]) -> State[Any]:
    """Return the state in which the work ends; a user's mistake or a signal is a failed one."""
    try:
        state = work()
    except PkdError as error:
        return Failed(message=str(error))
    if stopped := received_signal():
        redeliver(stopped)
        return Failed(message="Stopped; the same run goes on from there.")
    return state
