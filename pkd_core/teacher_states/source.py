"""Who tells a training what the teacher said: its states on disk, or on the GPU where it has room for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pkd_core.runtime.transfer import send
from pkd_core.teacher_states.reader import TeacherStates, TeacherTargets

_ROWS_PER_COPY = 8192
# The rest is the student's: weights, activations, and whatever else runs on the same GPU.
_SHARE_OF_FREE_MEMORY = 0.5


class TeacherSource(Protocol):
    """Tells what the teacher says of examples, at the layers that a training matches."""

    def gather(self, example_ids_B: Tensor) -> TeacherTargets:
        """Return the teacher's part of a batch, on the training's device.

        Raises:
            StoreError: If an example is not stored.
        """
        ...


@dataclass(frozen=True)
class StoredTeacherSource:
    """Reads each batch from disk."""

    states: TeacherStates
    layers: Sequence[int]
    device: torch.device

    def gather(self, example_ids_B: Tensor) -> TeacherTargets:
        """Read a batch's part and send it to the device."""
        return self.states.gather(example_ids_B, self.layers).to(self.device)


class ResidentTeacherSource:
    """Holds the matched layers of all examples on the device, and picks each batch there."""

    def __init__(self, states: TeacherStates, layers: Sequence[int], device: torch.device) -> None:
        self._states = states
        shape, num_rows = states.shape, len(states)
        dtype = getattr(torch, shape.dtype)
        self._logits_RC = torch.empty(num_rows, shape.num_outputs, device=device)
        self._cls_states_RMD = torch.empty(
            num_rows, len(layers), shape.hidden_size, dtype=dtype, device=device
        )
        for start in range(0, num_rows, _ROWS_PER_COPY):
            rows = slice(start, start + _ROWS_PER_COPY)
            part = states.gather(torch.from_numpy(states.example_ids_R[rows]), layers).to(device)
            self._logits_RC[rows] = part.logits_BC
            self._cls_states_RMD[rows] = part.cls_states_BMD

    def gather(self, example_ids_B: Tensor) -> TeacherTargets:
        """Pick a batch's part on the device."""
        places_B = torch.from_numpy(self._states.places(example_ids_B.numpy()))
        rows_B = send(places_B, self._logits_RC.device)
        return TeacherTargets(self._logits_RC[rows_B], self._cls_states_RMD[rows_B])


def open_teacher_source(states: TeacherStates, layers: Sequence[int], device: torch.device) -> TeacherSource:
    """Return the quickest teacher that there is room for."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if states.num_bytes(len(layers)) <= _SHARE_OF_FREE_MEMORY * free:
            return ResidentTeacherSource(states, layers, device)
    return StoredTeacherSource(states, layers, device)
