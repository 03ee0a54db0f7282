"""Batches of a training step, prefetched: packed examples, the teacher's targets and dropout's masks.

Shape suffix: B examples of a batch.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import Rows, TokenTable, shuffled_batches
from pkd_core.model.packing import PackedBatch, pack
from pkd_core.runtime.group import ONE_PROCESS, Group
from pkd_core.runtime.prefetch import prefetch
from pkd_core.teacher_states.reader import TeacherTargets
from pkd_core.teacher_states.source import TeacherSource


@dataclass(frozen=True)
class MicroBatch:
    """Examples of a step that are computed at once, on the device.

    Attributes:
        batch: The examples.
        teacher: The teacher's targets for them; None for plain fine-tuning.
        mask_seeds: Seeds of their dropout masks, which do not depend on earlier steps.
        fraction: Their fraction of the step's batch, which weights their mean loss.
    """

    batch: PackedBatch
    teacher: TeacherTargets | None
    mask_seeds: tuple[int, int, int]
    fraction: float


@dataclass(frozen=True)
class StepBatch:
    """One optimizer step's examples.

    Attributes:
        rows: Those of the table, of all processes.
        micro_batches: Those that this process is to accumulate; one at least.
    """

    rows: Rows
    micro_batches: tuple[MicroBatch, ...]


@dataclass(frozen=True)
class BatchLoader:
    """Yields an epoch's steps, and prepares the next ones while one is computed.

    Attributes:
        table: The examples.
        settings: Give the order, the batch size and the number of micro-batches.
        teacher: Source of the teacher's targets; None for plain fine-tuning.
        seed: Seeds the order and the dropout.
        device: Where the steps are computed.
        with_padding: Whether attention pads.
        group: Who computes the steps: each process gets micro-batches of its own.
    """

    table: TokenTable
    settings: TrainingConfig
    teacher: TeacherSource | None
    seed: int
    device: torch.device
    with_padding: bool = True
    group: Group = ONE_PROCESS

    def epoch(self, epoch: int, num_done: int = 0) -> Iterator[StepBatch]:
        """Yield an epoch's steps, in an order that depends only on the settings, the seed and the epoch.

        Args:
            epoch: The epoch, from 1.
            num_done: How many of its steps to skip; those after them do not change.

        Raises:
            StoreError: If the teacher states lack an example.
        """
        batches = list(self._batches(epoch))
        first_step = (epoch - 1) * len(batches) + 1
        numbered = itertools.islice(enumerate(batches, first_step), num_done, None)
        return prefetch(self._step(step, rows) for step, rows in numbered)

    def _batches(self, epoch: int) -> Iterator[Rows]:
        size = self.settings.batch_size
        if self.settings.shuffle:
            return shuffled_batches(self.table, size, torch.Generator().manual_seed(_mix(self.seed, epoch)))
        rows = np.arange(len(self.table))
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def _step(self, step: int, rows: Rows) -> StepBatch:
        split = [part for part in np.array_split(rows, self.settings.accumulation_steps) if len(part)]
        parts = [(number, part, len(part) / len(rows)) for number, part in enumerate(split)]
        # A batch of fewer examples than processes leaves nothing to some, whose gradients and losses are then 0.
        own = parts[self.group.rank :: self.group.size] or [(0, split[0], 0.0)]
        micro_batches = [self._micro_batch(part, fraction, step, number) for number, part, fraction in own]
        return StepBatch(rows, tuple(micro_batches))

    def _micro_batch(self, rows: Rows, fraction: float, step: int, number: int) -> MicroBatch:
        batch = pack(self.table, rows, self.device, self.with_padding)
        teacher = None if self.teacher is None else self.teacher.gather(batch.example_ids_B)
        return MicroBatch(batch, teacher, (self.seed, step, number), fraction)


def _mix(*seeds: int) -> int:
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])
