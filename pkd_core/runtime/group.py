"""The processes that compute a stage together, as each of them sees them; most stages have one.

Rank 0 decides when the next piece of work begins, and whether: the others wait for it as long as it takes, so that it
may save a checkpoint meanwhile. Only sums of gradients have a limit of time, after which a process that does not answer
counts as lost.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor  # takes seconds, and planning does without

# Of a sum of gradients: longer than the processes differ in computing one step.
SECONDS_TO_ANSWER = 30.0


class Group(Protocol):
    """The processes of a stage, as one of them sees them.

    Attributes:
        rank: The number of the process, from 0.
        size: How many there are.
    """

    @property
    def rank(self) -> int:
        """The number of the process, from 0."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def begin(self) -> None:
        """Begin the next piece of work with the others, once rank 0 begins it.

        Raises:
            StoppedError: Rank 0 has called `stop` instead.
        """
        ...

    def stop(self) -> None:
        """On rank 0, let the others stop where they would begin; on others, do nothing."""
        ...

    def add_up(self, tensors: "Sequence[Tensor]") -> None:
        """Replace each tensor, float32 on the device, with its sum over all processes.

        Raises:
            RuntimeError: A process has ended, or does not answer in time.
        """
        ...

    def add_up_array(self, values: "np.ndarray[Any, Any]") -> None:
        """Replace an array with its sum over all processes, however long they take."""
        ...


class OneProcess:
    """A stage that one process computes."""

    rank = 0
    size = 1

    def begin(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def add_up(self, tensors: "Sequence[Tensor]") -> None:
        """Do nothing: the sum over one process."""

    def add_up_array(self, values: "np.ndarray[Any, Any]") -> None:
        """Do nothing: the sum over one process."""


ONE_PROCESS = OneProcess()
