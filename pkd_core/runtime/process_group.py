"""The processes of one machine that compute a stage together: how they find each other, and what they add up."""

import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from pkd_core.runtime.cancellation import StoppedError
from pkd_core.runtime.group import SECONDS_TO_ANSWER

_SECONDS_TO_START = 600.0
_SECONDS_TO_WAIT_FOR_RANK_0 = 30 * 24 * 3600.0
_GO_ON, _STOP = 0, 1

Array = np.ndarray[Any, Any]


class SeveralProcesses:
    """The place of a process among those that have joined over a file on one machine; see `join`."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size
        # On the CPU, so that nobody waits for a GPU to learn whether to go on.
        self._control = distributed.new_group(
            backend="gloo", timeout=timedelta(seconds=_SECONDS_TO_WAIT_FOR_RANK_0)
        )

    def begin(self) -> None:
        """Begin the next piece of work with the others, once rank 0 begins it."""
        if self._tell(_GO_ON) == _STOP:
            raise StoppedError("rank 0 has stopped.")

    def stop(self) -> None:
        """Let the others stop where they would begin."""
        if self.rank == 0:
            self._tell(_STOP)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor with its sum over all processes, as one sum of all their elements."""
        with torch.no_grad():
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            distributed.all_reduce(flat)
            parts = torch.split(flat, [tensor.numel() for tensor in tensors])
            sums = [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
            torch._foreach_copy_(list(tensors), sums)

    def add_up_array(self, values: Array) -> None:
        """Replace an array with its sum over all processes."""
        distributed.all_reduce(torch.from_numpy(values), group=self._control)

    def _tell(self, word: int) -> int:
        message = torch.tensor([word])
        distributed.broadcast(message, 0, group=self._control)
        return int(message)


def join(rank: int, size: int, meeting: Path, device: torch.device) -> SeveralProcesses:
    """Join the other processes of this machine, which listen to each other on its loopback address only.

    Args:
        rank: The number of the process, from 0.
        size: How many there are.
        meeting: A file on a local disk, absent at first, over which they find each other.
        device: Where this process computes; each has a GPU of its own, or all compute on the CPU.

    Raises:
        RuntimeError: One has ended, or does not come in time.
    """
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store = distributed.FileStore(str(meeting), size)  # type: ignore[attr-defined]
    # Processes that start on a busy machine may come minutes after each other.
    store.set(f"here-{rank}", "")
    store.wait([f"here-{other}" for other in range(size)], timedelta(seconds=_SECONDS_TO_START))
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=SECONDS_TO_ANSWER),
    )
    return SeveralProcesses(rank, size)
