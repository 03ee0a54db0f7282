"""What teacher and student stages share: train on the tokens, save the best epoch, tell how it went."""

import functools
import json
import shutil
from pathlib import Path
from typing import Any

from transformers import BertForSequenceClassification

from pkd_core.config.settings import TrainingConfig
from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.predict import count_parameters
from pkd_core.model.loading import save_classifier
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.sources import TOKENIZER_FILES
from pkd_core.store.os_errors import check_disk_space
from pkd_core.training.checkpoints import Checkpoints, checkpoint_folder
from pkd_core.training.loop import Objective, Training, train

_WEIGHTS = "model.safetensors"
_BESIDE = "best.part"
# The weight itself and AdamW's two moments, in float32.
_BYTES_A_WEIGHT = 12


def train_and_save(
    job: Job,
    model: BertForSequenceClassification,
    settings: TrainingConfig,
    seed: int,
    objective: Objective | None,
) -> dict[str, Any]:
    """Train, leaving in the work folder the best epoch's checkpoint, its tokenizer and `training.json`."""
    task = job.task
    # Two checkpoints are there while one takes the other's place, and one may be there now.
    num_new = 1 if checkpoint_folder(job.work).is_dir() else 2
    check_disk_space(job.work, num_new * _BYTES_A_WEIGHT * count_parameters(model), "training checkpoints")
    checkpoints = Checkpoints(job.work, job.context.checkpoint_seconds, companions=(_WEIGHTS,))
    result = train(
        Training(
            model,
            TokenTable.load(job.inputs["tokens"], "train"),
            TokenTable.load(job.inputs["tokens"], task.dev_splits[0].name),
            settings,
            seed=seed,
            metrics=task.metrics,
            is_regression=task.is_regression,
            objective=objective,
            save_best=functools.partial(_save_whole, folder=job.work),
            checkpoints=checkpoints,
            observer=job.observer,
            device=job.context.torch_device,
        )
    )
    for name in TOKENIZER_FILES:
        if (job.context.model_folder / name).is_file():
            shutil.copyfile(job.context.model_folder / name, job.work / name)
    told = {
        "best_epoch": result.best_epoch,
        "best_score": result.best_score,
        "metric": task.metrics[0],
        "num_steps": result.num_steps,
        "precision": result.precision,
        "history": result.history,
        "config": dict(job.stage.config),
    }
    text = json.dumps(told, indent=2, sort_keys=True)
    (job.work / "training.json").write_text(text + "\n", encoding="utf-8")
    checkpoints.discard()
    # A save that was killed may not be made again, when on a GPU the epoch comes out a little worse.
    shutil.rmtree(job.work / _BESIDE, ignore_errors=True)
    return {key: told[key] for key in ("best_epoch", "best_score", "metric", "num_steps", "precision")}


def _save_whole(model: BertForSequenceClassification, folder: Path) -> None:
    """Save a model beside its place first, so that the weights which are there are whole."""
    beside = folder / _BESIDE
    shutil.rmtree(beside, ignore_errors=True)
    save_classifier(model, beside)
    for path in beside.iterdir():
        path.replace(folder / path.name)
    beside.rmdir()
