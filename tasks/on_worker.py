"""Builds a stage in a worker process of an engine that places stages, on this machine or on another one."""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from prefect.client.schemas.objects import State

from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.cancellation import clear_stop_request, request_stop
from pkd_core.runtime.process_setup import configure_process
from tasks.reports import ReportingShow, Send, reporting_log
from tasks.run_stage import run_stage


@dataclass(frozen=True)
class Worker:
    """What a worker process is told besides its stage.

    Attributes:
        device: What it computes on: "cpu", or "cuda" for the GPU that the engine has given it, the only one it sees.
        environment: Where the services are, and their logins: added to the environment, and shown nowhere.
        send: Sends its reports to the process of the run.
    """

    device: str
    environment: Mapping[str, str] = field(repr=False)
    send: Send = field(repr=False)


def run_on_worker(
    stage: Stage,
    inputs: Mapping[str, Mapping[str, Any]],
    context: RunContext,
    flow_run: str,
    worker: Worker,
) -> dict[str, Any] | State[Any]:
    """Build a stage in this process, which is a worker's, as `run_stage` does.

    The engine's wish to stop it comes as an interrupt: it then stops at its next step, with a checkpoint.
    """
    os.environ.update(worker.environment)
    configure_process()
    clear_stop_request()
    signal.signal(signal.SIGINT, lambda *_: request_stop())
    here = replace(context, options=context.options.model_copy(update={"device": worker.device}))
    with reporting_log(worker.send):
        return run_stage(stage, inputs, here, flow_run, ReportingShow(worker.send))
