"""What a training step computes on, made ready ahead of it: packed batches, and what the teacher says of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pkd_core.config import TrainingConfig
from pkd_core.data.batches import Rows, TokenTable, shuffled_batches
from pkd_core.data.packing import PackedBatch, pack
from pkd_core.engine.dropout import DeviceMasks, HostMasks, KeepMasks
from pkd_core.engine.objective import Objective
from pkd_core.engine.prefetch import ahead
from pkd_core.engine.teacher_states import TeacherPart


@dataclass(frozen=True)
class MicroBatch:
    """A part of a step's batch, on the device.

    Attributes:
        batch: The examples.
        teacher: What the teacher says of them; None for plain fine-tuning.
        share: Their share of the whole batch, by which their mean loss counts.
    """

    batch: PackedBatch
    teacher: TeacherPart | None
    share: float


@dataclass(frozen=True)
class StepFeed:
    """One optimizer step's examples: their rows in the table, and the batch in as many parts as are accumulated."""

    rows: Rows
    parts: tuple[MicroBatch, ...]


def feed_epoch(
    table: TokenTable,
    settings: TrainingConfig,
    objective: Objective | None,
    seed: int,
    epoch: int,
    device: torch.device,
) -> Iterator[StepFeed]:
    """Yield an epoch's steps, the next ones made while the last is computed.

    The order is drawn for this epoch alone, so that it can be had without the epochs before it.

    Raises:
        StoreError: If the teacher said nothing of an example.
    """
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(1)
    generator = torch.Generator().manual_seed(int(mixed[0]))

    def make(rows: Rows) -> StepFeed:
        parts = (part for part in np.array_split(rows, settings.accumulation_steps) if len(part))
        return StepFeed(
            rows,
            tuple(_micro_batch(table, part, objective, len(part) / len(rows), device) for part in parts),
        )

    return ahead(map(make, shuffled_batches(table, settings.batch_size, generator)))


def step_masks(seed: int, step: int, part: int, device: torch.device) -> KeepMasks:
    """Return where a step's part takes its dropout from: the same seeds, the same masks, whatever came before."""
    if device.type == "cpu":
        return HostMasks(seed, step, part)
    mixed = np.random.SeedSequence([seed, step, part]).generate_state(1)
    return DeviceMasks(torch.Generator(device).manual_seed(int(mixed[0])))


def _micro_batch(
    table: TokenTable, rows: Rows, objective: Objective | None, share: float, device: torch.device
) -> MicroBatch:
    batch = pack(table, rows)
    teacher = None
    if objective is not None:
        layers = [teacher for _, teacher in objective.matched_layers]
        teacher = objective.teacher_states.gather(batch.example_ids_B, layers).to(device)
    return MicroBatch(batch.to(device), teacher, share)
