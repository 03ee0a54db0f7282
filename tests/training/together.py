"""Trainings that one or several processes compute, with all that they leave behind."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from test_heads import full_objective
from test_projections import wide_objective
from test_resuming import Stop
from tiny_bert import Recorder, make_table, tiny_classifier
from trainings import CPU, SETTINGS, objective

from pkd_core.data.token_table import TokenTable
from pkd_core.runtime.cancellation import StoppedError
from pkd_core.runtime.group import ONE_PROCESS, Group
from pkd_core.training.checkpoints import Checkpoints
from pkd_core.training.loop import Training, train
from pkd_core.training.objective import Objective

# 37 examples in batches of 12: the last batch has 1, which leaves nothing to all processes but the first.
NUM_ROWS, BATCH = 37, 12
Goal = Callable[[Path, TokenTable], Objective]
# The objective, and changed settings.
CASES: Mapping[str, tuple[Goal | None, dict[str, Any]]] = {
    "fine-tuning": (None, {}),
    "bert-adam": (None, {"optimizer": "bert-adam", "max_grad_norm": 0.1}),
    "bfloat16": (None, {"precision": "bfloat16"}),
    "patient": (objective, {"max_grad_norm": 0.5}),
    "projections": (wide_objective, {}),
    "heads": (full_objective, {}),
}


def train_case(name: str, num_parts: int, group: Group, states: Path, out: Path) -> None:
    """Train, and write the weights, everything that was observed, and the result into `out`."""
    goal, changes = CASES[name]
    table, model, observer = make_table(NUM_ROWS), tiny_classifier(2), Recorder()
    values = {"batch_size": BATCH, "accumulation_steps": num_parts, "num_epochs": 2}
    saved: list[float] = []
    training = Training(
        model,
        table,
        make_table(24, seed=99),
        SETTINGS.model_copy(update=values | changes),
        seed=1,
        metrics=("accuracy", "f1"),
        is_regression=False,
        objective=None if goal is None else goal(states, table),
        save_best=lambda best: saved.append(best.classifier.weight.sum().item()),
        checkpoints=None,
        observer=observer,
        device=CPU,
        group=group,
    )
    result = train(training)
    write(out, training, observer, result.points, saved)


def write(out: Path, training: Training, observer: Recorder, *more: Any) -> None:
    out.mkdir(parents=True)
    weights = {name: value.contiguous() for name, value in training.trained.state_dict().items()}
    save_file(weights, out / "weights.safetensors")
    (out / "seen.json").write_text(json.dumps([observer.metrics_seen, *more]), encoding="utf-8")


def patient(group: Group, folder: Path) -> None:
    """Train by the patient method with two parts of a batch; runs in each of two processes."""
    _train_cases(["patient"], group, folder)
    interrupted(group, folder)


def all_others(group: Group, folder: Path) -> None:
    """Train every other case likewise."""
    _train_cases([name for name in CASES if name != "patient"], group, folder)


def _train_cases(names: Sequence[str], group: Group, folder: Path) -> None:
    for name in names:
        # Each process extracts the same states for itself.
        states = folder / f"states-{name}-{group.rank}"
        train_case(name, 2, group, states, folder / f"{name}-{group.rank}")


def four_parts(group: Group, folder: Path) -> None:
    """Train by the patient method with four parts of a batch."""
    train_case("patient", 4, group, folder / f"states-{group.rank}", folder / f"patient-{group.rank}")


def interrupted(group: Group, folder: Path) -> None:
    """Stop a training in its first epoch, then go on: rank 0 alone is told to stop, and alone writes checkpoints."""
    for step in (2, 0):
        model, observer = tiny_classifier(2), Stop(step, StoppedError) if group.rank == 0 else Recorder()
        checkpoints = Checkpoints(folder / "resume", folder, 1e9, is_writer=group.rank == 0)
        training = Training(
            model,
            make_table(NUM_ROWS),
            make_table(24, seed=99),
            SETTINGS.model_copy(update={"batch_size": BATCH, "accumulation_steps": 2}),
            seed=1,
            metrics=("accuracy", "f1"),
            is_regression=False,
            objective=None,
            save_best=lambda _: None,
            checkpoints=checkpoints,
            observer=observer,
            device=CPU,
            group=group,
        )
        try:
            result = train(training)
        except StoppedError:
            assert step
            # Until the checkpoint is there.
            group.add_up_array(np.zeros(1))
        else:
            assert not step
            write(folder / f"interrupted-{group.rank}", training, observer, result.points, [])


def outcome(out: Path) -> tuple[dict[str, torch.Tensor], Any]:
    """Return what `write` has written."""
    return load_file(out / "weights.safetensors"), json.loads((out / "seen.json").read_text(encoding="utf-8"))


def alone(name: str, num_parts: int, folder: Path) -> tuple[dict[str, torch.Tensor], Any]:
    """Train a case in this process."""
    train_case(name, num_parts, ONE_PROCESS, folder / f"states-{name}", folder / f"{name}-alone")
    return outcome(folder / f"{name}-alone")
