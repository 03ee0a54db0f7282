"""Trainings of tiny models, with the defaults that most tests share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tiny_bert import Recorder, make_table, tiny_classifier
from transformers import BertForSequenceClassification

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.teacher_states.extraction import extract
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.training.checkpoints import Checkpoints
from pkd_core.training.loop import Training, TrainingResult, train
from pkd_core.training.objective import Objective

CPU = torch.device("cpu")
SETTINGS = TrainingConfig(learning_rate=2e-3, num_epochs=2, batch_size=16, precision="float32")


def run(
    model: BertForSequenceClassification,
    table: TokenTable,
    settings: TrainingConfig = SETTINGS,
    *,
    dev: TokenTable | None = None,
    seed: int = 1,
    metrics: tuple[str, ...] | None = None,
    objective: Objective | None = None,
    observer: Recorder | None = None,
    save_best: Callable[[BertForSequenceClassification], None] = lambda _: None,
    checkpoints: Checkpoints | None = None,
    score: bool = False,
) -> TrainingResult:
    """Train on the table; dev has other content by default."""
    return train(
        Training(
            model,
            table,
            make_table(24, seed=99, score=score) if dev is None else dev,
            settings,
            seed=seed,
            metrics=metrics or (("pearson", "spearman") if score else ("accuracy", "f1")),
            is_regression=score,
            objective=objective,
            save_best=save_best,
            checkpoints=checkpoints,
            observer=observer or Recorder(),
            device=CPU,
        )
    )


def objective(folder: Path, table: TokenTable, num_outputs: int = 2, **changes: Any) -> Objective:
    """Extract a random teacher's states of the table, and return an objective over them."""
    teacher = tiny_classifier(seed=5, num_outputs=num_outputs)
    extract(teacher, table, folder, "float16", Recorder(), device=CPU)
    values: dict[str, Any] = {
        "alpha": 0.5,
        "temperature": 5.0,
        "beta": 100.0,
        "normalize": True,
        "distillation_reduction": "element_mean",
        "patience_reduction": "element_mean",
        "layer_map": ((1, 2),),
        "teacher_states": TeacherStates.open(folder),
    }
    return Objective(**values | changes)
