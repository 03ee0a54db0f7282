"""A step's batch is divided into micro-batches of nearly equal size, each with a source of dropout masks."""

import numpy as np
import pytest
import torch
from tiny_bert import make_table
from trainings import CPU, SETTINGS

from pkd_core.training.batches import BatchLoader

TABLE = make_table(37, first_id=500)


def loader(accumulation_steps: int = 1, seed: int = 1) -> BatchLoader:
    settings = SETTINGS.model_copy(update={"accumulation_steps": accumulation_steps})
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


def test_masks_differ_by_epoch_step_and_seed_and_are_the_same_after_skipping() -> None:
    def first_masks(seed: int, epoch: int, num_done: int = 0) -> list[bytes]:
        steps = loader(2, seed).epoch(epoch, num_done)
        masks = [micro.masks.draw((256,), 0.5, torch.uint8) for step in steps for micro in step.micro_batches]
        return [mask.numpy().tobytes() for mask in masks]

    every = [*first_masks(1, 1), *first_masks(1, 2), *first_masks(2, 1)]
    assert len(set(every)) == len(every) == 3 * 3 * 2
    assert first_masks(1, 2, num_done=1) == first_masks(1, 2)[2:]
