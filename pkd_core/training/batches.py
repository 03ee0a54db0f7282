"""What a training step computes on, made ready ahead of it: packed batches, and what the teacher says of them."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import Rows, TokenTable, shuffled_batches
from pkd_core.model.dropout import DeviceMasks, HostMasks, KeepMasks
from pkd_core.model.packing import PackedBatch, pack
from pkd_core.runtime.prefetch import prefetch
from pkd_core.teacher_states.reader import TeacherTargets
from pkd_core.teacher_states.source import TeacherSource


@dataclass(frozen=True)
class MicroBatch:
    """A part of a step's batch, on the device.

    Attributes:
        batch: The examples.
        teacher: What the teacher says of them; None for plain fine-tuning.
        masks: Where their dropout comes from.
        share: Their share of the whole batch, by which their mean loss counts.
    """

    batch: PackedBatch
    teacher: TeacherTargets | None
    masks: KeepMasks
    share: float


@dataclass(frozen=True)
class StepBatch:
    """One optimizer step's examples: their rows in the table, and the batch in as many parts as are accumulated."""

    rows: Rows
    parts: tuple[MicroBatch, ...]


@dataclass(frozen=True)
class BatchLoader:
    """Makes an epoch's steps ready, the next ones while the last is computed.

    Attributes:
        table: The examples.
        settings: Say how many make a batch, and in how many parts.
        teacher: Who is asked of each batch; None for plain fine-tuning.
        seed: Of the order and the dropout.
        device: Where the steps are computed.
    """

    table: TokenTable
    settings: TrainingConfig
    teacher: TeacherSource | None
    seed: int
    device: torch.device

    def epoch(self, epoch: int, num_done: int = 0) -> Iterator[StepBatch]:
        """Yield an epoch's steps, in an order drawn for this epoch: it can be had without the epochs before it.

        Args:
            epoch: The epoch, from 1.
            num_done: How many of its steps to leave out; those that follow are as if none were.

        Raises:
            StoreError: If the teacher said nothing of an example.
        """
        generator = torch.Generator().manual_seed(_mix(self.seed, epoch))
        batches = list(shuffled_batches(self.table, self.settings.batch_size, generator))
        first_step = (epoch - 1) * len(batches) + 1
        numbered = itertools.islice(enumerate(batches, first_step), num_done, None)
        return prefetch(self._step(step, rows) for step, rows in numbered)

    def _step(self, step: int, rows: Rows) -> StepBatch:
        parts = [part for part in np.array_split(rows, self.settings.accumulation_steps) if len(part)]
        return StepBatch(
            rows,
            tuple(
                self._micro_batch(part, len(part) / len(rows), step, number)
                for number, part in enumerate(parts)
            ),
        )

    def _micro_batch(self, rows: Rows, share: float, step: int, number: int) -> MicroBatch:
        batch = pack(self.table, rows, self.device)
        teacher = None if self.teacher is None else self.teacher.gather(batch.example_ids_B)
        return MicroBatch(batch, teacher, self._masks(step, number), share)

    def _masks(self, step: int, number: int) -> KeepMasks:
        """Return a source of dropout of its own, so that a step's masks do not depend on what ran before it."""
        if self.device.type == "cpu":
            return HostMasks(self.seed, step, number)
        return DeviceMasks(torch.Generator(self.device).manual_seed(_mix(self.seed, step, number)))


def _mix(*seeds: int) -> int:
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])
