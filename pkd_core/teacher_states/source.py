"""Sources of the teacher's targets for a training: the states on disk, or on the GPU where they fit into its memory.

Shape suffixes: B batch, C classes, M matched layers, D hidden size, R stored rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pkd_core.runtime.transfer import send
from pkd_core.teacher_states.reader import TeacherStates, TeacherTargets

_ROWS_PER_COPY = 8192
# The rest is for the student's weights and activations, and for other programs on the same GPU.
_FRACTION_OF_FREE_MEMORY = 0.5


class TeacherSource(Protocol):
    """Returns the teacher's targets for examples, at the layers that a training matches."""

    def gather(self, example_ids_B: Tensor) -> TeacherTargets:
        """Return a batch's targets on the training's device.

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
        """Read a batch's targets and send them to the device."""
        return self.states.gather(example_ids_B, self.layers).to(self.device)


class ResidentTeacherSource:
    """Keeps the matched layers of all examples on the device, and selects each batch there."""

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
            targets = states.gather(torch.from_numpy(states.example_ids_R[rows]), layers).to(device)
            self._logits_RC[rows] = targets.logits_BC
            self._cls_states_RMD[rows] = targets.cls_states_BMD

    def gather(self, example_ids_B: Tensor) -> TeacherTargets:
        """Select a batch's targets on the device."""
        rows_B = send(torch.from_numpy(self._states.find_rows(example_ids_B.numpy())), self._logits_RC.device)
        return TeacherTargets(self._logits_RC[rows_B], self._cls_states_RMD[rows_B])


def open_teacher_source(states: TeacherStates, layers: Sequence[int], device: torch.device) -> TeacherSource:
    """Return the fastest source that fits into the device's memory."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if states.num_bytes(len(layers)) <= _FRACTION_OF_FREE_MEMORY * free:
            return ResidentTeacherSource(states, layers, device)
    return StoredTeacherSource(states, layers, device)
