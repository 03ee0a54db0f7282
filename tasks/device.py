"""Whose turn it is to compute on a device: one stage of this process, and so many runs as are to share the device."""

import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pkd_core.store.lock import hold_any
from pkd_core.store.os_errors import file_errors

_one_of_this_process = threading.Lock()


@contextmanager
def device_slot(workspace: Path, device: torch.device, share: int, purpose: str) -> Iterator[None]:
    """Hold one of a device's places while the body runs, first within this process and then before all others.

    torch's random state belongs to the process: two trainings in it at once would also spoil each other's seeds. The
    kernel frees a place at its holder's death; one of Prefect's own limits stays taken when the server inside the
    process dies with it, and the next run would wait for ever.

    Args:
        workspace: Whose runs take turns.
        device: Where the body computes; other devices' runs do not wait.
        share: How many of the workspace's runs may compute on the device at once.
        purpose: What for, as the waiter's log line says it.

    Raises:
        StoreError: If the lock files cannot be made.
    """
    folder = workspace / "artifacts" / "devices"
    with file_errors("lock", folder):
        folder.mkdir(parents=True, exist_ok=True)
    name = device_name(device)
    with _one_of_this_process, hold_any([folder / f"{name}-{place}.lock" for place in range(share)], purpose):
        yield


def divide_cores(device: torch.device, share: int) -> None:
    """Let torch use a run's part of a shared CPU, unless the user has said how many threads are to compute."""
    if share > 1 and device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // share))


def device_name(device: torch.device) -> str:
    """Return a file name for a device that is the same in every process, whatever number each knows the device by."""
    host = re.sub(r"[^\w.-]", "-", socket.gethostname())
    if device.type != "cuda":
        return f"{host}-{device.type}"
    return f"{host}-gpu-{torch.cuda.get_device_properties(device).uuid}"
