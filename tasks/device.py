"""Limits how many runs of a workspace compute on a device at once: one stage of each process, in one of its slots."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pkd_core.store.lock import hold_any
from pkd_core.store.os_errors import file_errors

_one_stage_per_process = threading.Lock()


@contextmanager
def device_slot(
    workspace: Path, device: torch.device, max_concurrent_runs: int, purpose: str
) -> Iterator[None]:
    """Hold one of a device's slots while the body runs; wait for it if all are taken.

    Within a process one stage computes at a time, as torch's random state belongs to the process: two trainings would
    change each other's random numbers. The kernel frees a slot when its process dies; Prefect's own concurrency limits
    stay taken when the server that the process started dies with it, and the next run would wait for ever.

    Args:
        workspace: Folder whose runs share the slots.
        device: Where the body computes; each device has its own slots.
        max_concurrent_runs: The number of slots.
        purpose: What computes, for the log line of another run that waits.

    Raises:
        StoreError: The lock files cannot be created.
    """
    folder = workspace / "artifacts" / "devices"
    with file_errors("lock", folder):
        folder.mkdir(parents=True, exist_ok=True)
    name = device_name(device)
    slots = [folder / f"{name}-{slot}.lock" for slot in range(max_concurrent_runs)]
    with _one_stage_per_process, hold_any(slots, purpose):
        yield


def device_name(device: torch.device) -> str:
    """Return a file name for a device, the same in every process whatever index the device has there."""
    host = re.sub(r"[^\w.-]", "-", socket.gethostname())
    if device.type != "cuda":
        return f"{host}-{device.type}"
    return f"{host}-gpu-{torch.cuda.get_device_properties(device).uuid}"
