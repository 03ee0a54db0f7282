"""Which device a training is set up on, and how a GPU's own generator is seeded; found without a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_bert import Recorder, make_table, tiny_classifier
from torch import nn
from trainings import CPU, SETTINGS, objective

from pkd_core.data.token_table import TokenTable
from pkd_core.teacher_states.source import StoredTeacherSource
from pkd_core.training import loop
from pkd_core.training.loop import Training, train
from pkd_core.training.run import start_run

META = torch.device("meta")
GPU = torch.device("cuda", 0)


def training_of(table: TokenTable, device: torch.device, observer: Recorder | None = None) -> Training:
    return Training(
        tiny_classifier(2),
        table,
        table,
        SETTINGS,
        seed=5,
        metrics=("accuracy",),
        is_regression=False,
        objective=None,
        save_best=lambda _: None,
        checkpoints=None,
        observer=observer or Recorder(),
        device=device,
    )


def test_model_batches_teacher_optimizer_and_precision_are_set_up_for_the_trainings_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[tuple[nn.Module, torch.device]] = []
    # The model stays where it is: on a device without values nothing more could be set up.
    monkeypatch.setattr(nn.Module, "to", lambda model, device: moved.append((model, device)))
    table = make_table(8)
    settings = SETTINGS.model_copy(update={"precision": "auto"})
    goal = objective(tmp_path, table)
    moved.clear()
    training = replace(training_of(table, META), settings=settings, objective=goal)
    run = start_run(training)
    assert moved == [(training.model, META)]
    assert run.loader.device == META
    assert run.loader.teacher == StoredTeacherSource(goal.teacher_states, [2], META)
    assert run.optimizer.defaults["fused"] is False
    assert run.precision == "float32"


def test_a_gpus_generator_has_its_old_state_after_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[str, object]] = []

    @contextmanager
    def scope(name: str, value: object) -> Iterator[None]:
        log.append((name, value))
        yield
        log.append((f"{name} until here", value))

    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: scope("kept", devices))
    monkeypatch.setattr(torch.cuda, "device", lambda device: scope("chosen", device))
    # The steps themselves are computed on the CPU.
    monkeypatch.setattr(loop, "start_run", lambda training: start_run(replace(training, device=CPU)))
    train(training_of(make_table(8), GPU))
    assert log == [("kept", [GPU]), ("chosen", GPU), ("chosen until here", GPU), ("kept until here", [GPU])]
