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
from pkd_core.runtime.cancellation import StoppedError
from pkd_core.teacher_states.source import StoredTeacherSource
from pkd_core.training import loop
from pkd_core.training.checkpoints import Checkpoints
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


class GeneratorCalls:
    """Stands for CUDA's generator: logs which device's state is kept, which device is chosen, and the seeds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[tuple[str, object]] = []
        monkeypatch.setattr(torch.random, "fork_rng", lambda devices: self._scope("kept", devices))
        monkeypatch.setattr(torch.cuda, "device", lambda device: self._scope("chosen", device))
        monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: self.log.append(("seed", seed)))

    @contextmanager
    def _scope(self, name: str, value: object) -> Iterator[None]:
        self.log.append((name, value))
        try:
            yield
        finally:
            self.log.append((f"{name} until here", value))


class StopAt(Recorder):
    """Stops a training after a step."""

    def __init__(self, step: int, calls: GeneratorCalls) -> None:
        super().__init__()
        self._step = step
        self._calls = calls

    def progress(self, done: int, total: int, unit: str) -> None:
        if done == self._step:
            self._calls.log.append(("step", done))
            raise StoppedError("stopped here")


def test_a_gpus_generator_has_a_new_seed_after_each_resume_and_its_old_state_after_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The steps themselves are computed on the CPU.
    monkeypatch.setattr(loop, "start_run", lambda training: start_run(replace(training, device=CPU)))
    calls, table = GeneratorCalls(monkeypatch), make_table(40)
    for step, seed in ((2, 5), (3, 7)):
        calls.log.clear()
        training = training_of(table, GPU, StopAt(step, calls))
        with pytest.raises(StoppedError):
            train(replace(training, checkpoints=Checkpoints(tmp_path, tmp_path, 1e9)))
        assert calls.log == [
            ("kept", [GPU]),
            ("chosen", GPU),
            ("seed", seed),
            ("step", step),
            ("chosen until here", GPU),
            ("kept until here", [GPU]),
        ]
