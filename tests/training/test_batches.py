"""A step's batch is divided into micro-batches of nearly equal size, each with a source of dropout masks."""

from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from tiny_bert import make_table
from trainings import CPU, SETTINGS

from pkd_core.model.packing import PackedBatch, pack
from pkd_core.training import batches
from pkd_core.training.batches import BatchLoader

TABLE = make_table(37, first_id=500)


def loader(accumulation_steps: int = 1, seed: int = 1, shuffle: bool = True) -> BatchLoader:
    settings = SETTINGS.model_copy(update={"accumulation_steps": accumulation_steps, "shuffle": shuffle})
    return BatchLoader(TABLE, settings, None, seed, CPU)


@pytest.mark.parametrize(
    ("accumulation_steps", "sizes"), [(1, [[16], [16], [5]]), (3, [[6, 5, 5], [6, 5, 5], [2, 2, 1]])]
)
def test_micro_batches_divide_each_batch(accumulation_steps: int, sizes: list[list[int]]) -> None:
    steps = list(loader(accumulation_steps).epoch(1))
    assert [[len(micro.batch.example_ids_B) for micro in step.micro_batches] for step in steps] == sizes
    for step in steps:
        fractions = [micro.fraction for micro in step.micro_batches]
        assert fractions == [len(micro.batch.example_ids_B) / len(step.rows) for micro in step.micro_batches]
        ids = torch.cat([micro.batch.example_ids_B for micro in step.micro_batches])
        assert sorted(ids.tolist()) == sorted(TABLE.example_ids_R[step.rows].tolist())


def test_a_batch_smaller_than_the_number_of_micro_batches_has_one_per_example() -> None:
    *_, last = loader(accumulation_steps=7).epoch(1)
    assert [len(micro.batch.example_ids_B) for micro in last.micro_batches] == [1] * 5


def test_each_epoch_has_every_row_once_in_an_order_of_its_own() -> None:
    orders = [np.concatenate([step.rows for step in loader().epoch(epoch)]).tolist() for epoch in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(37))


def test_without_shuffling_every_epoch_has_the_order_of_the_file() -> None:
    for epoch in (1, 2):
        rows = [step.rows.tolist() for step in loader(shuffle=False).epoch(epoch)]
        assert rows == [list(range(16)), list(range(16, 32)), list(range(32, 37))]
    assert [step.rows[0] for step in loader(shuffle=False).epoch(1, num_done=1)] == [16, 32]


def test_the_next_step_is_prepared_while_one_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[object] = []
    has_two = Event()

    def observed_pack(*args: Any) -> PackedBatch:
        packed.append(args)
        if len(packed) == 2:
            has_two.set()
        return pack(*args)

    monkeypatch.setattr(batches, "pack", observed_pack)
    steps = loader().epoch(1)
    next(steps)
    assert has_two.wait(60)


def mask_seeds(seed: int, epoch: int, num_done: int = 0) -> list[tuple[int, int, int]]:
    """Return the seeds of each micro-batch's masks in an epoch; a step has two."""
    steps = loader(2, seed).epoch(epoch, num_done)
    return [micro.mask_seeds for step in steps for micro in step.micro_batches]


def test_masks_are_those_of_the_seed_the_trainings_step_and_the_micro_batch() -> None:
    assert mask_seeds(7, 2) == [(7, step, part) for step in (4, 5, 6) for part in (0, 1)]
    assert mask_seeds(7, 2, num_done=1) == mask_seeds(7, 2)[2:]
