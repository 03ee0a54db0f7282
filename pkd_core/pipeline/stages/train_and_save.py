"""What teacher and student stages share: train on the tokens, save the best epoch, record how it went."""

import functools
import json
import shutil
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from transformers import BertForSequenceClassification

from pkd_core.data.token_table import TokenTable, append_unlabelled
from pkd_core.data.tokenizer import TOKENIZER_FILES
from pkd_core.data.transfer_set import SPLIT
from pkd_core.errors import StoreError
from pkd_core.evaluation.predict import count_parameters
from pkd_core.model.loading import save_classifier
from pkd_core.pipeline.facts import TrainingFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import TrainingSpec
from pkd_core.store.atomic import durable_rename, fsync_tree
from pkd_core.store.fingerprint import sha256_folder
from pkd_core.store.os_errors import check_disk_space
from pkd_core.training.checkpoints import Checkpoints, has_checkpoint
from pkd_core.training.loop import Training, TrainingResult, train
from pkd_core.training.metric_history import write_metrics
from pkd_core.training.objective import Objective
from pkd_core.training.score_scale import ScoreScale

_SAVED_BY_MODEL = ("config.json", "model.safetensors")
_TEMPORARY = "best.part"
# The weight itself and AdamW's two moments, in float32.
_BYTES_PER_WEIGHT = 12


def train_and_save(
    job: Job, spec: TrainingSpec, model: BertForSequenceClassification, objective: Objective | None
) -> TrainingFacts:
    """Train, leaving in the work folder the best epoch's weights, the tokenizer and `training.json`."""
    task = job.task
    # One checkpoint is written while the one before it still exists, which may be there already.
    num_new = 1 if has_checkpoint(job.resume) else 2
    num_weights = count_parameters(model)
    if objective is not None:
        num_weights += sum(map(count_parameters, objective.modules.values()))
    check_disk_space(job.work, num_new * _BYTES_PER_WEIGHT * num_weights, "training checkpoints")
    checkpoints = Checkpoints(
        job.resume,
        job.work,
        60.0 * job.context.options.checkpoint_minutes,
        companions=_SAVED_BY_MODEL,
        check_inputs=job.check_inputs,
        keep=job.keep,
        is_writer=job.group.rank == 0,
    )
    train_table, scale = TokenTable.load(job.inputs["tokens"], "train"), None
    if task.is_regression and spec.training.standardize_scores:
        scale = ScoreScale.of(train_table)
        train_table = scale.standardized_table(train_table)
        objective = None if objective is None else replace(objective, score_scale=scale)
    result = train(
        Training(
            model,
            _with_transfer_set(job, train_table),
            TokenTable.load(job.inputs["tokens"], task.dev_splits[0].name),
            spec.training,
            seed=spec.seed,
            metrics=task.metrics,
            is_regression=task.is_regression,
            objective=objective,
            save_best=functools.partial(
                _save_model, folder=job.work, num_choices=task.num_choices, scale=scale
            )
            if job.group.rank == 0
            else _save_nothing,
            checkpoints=checkpoints,
            observer=job.observer,
            device=job.context.device,
            group=job.group,
        )
    )
    if job.group.rank == 0:
        _write_result(job, result)
    return TrainingFacts(
        best_epoch=result.best_epoch,
        best_score=result.best_score,
        metric=task.metrics[0],
        num_steps=result.num_steps,
        precision=result.precision,
    )


def _write_result(job: Job, result: TrainingResult) -> None:
    """Write what belongs to the best epoch's weights: the tokenizer, every metric, and how the training went."""
    _copy_tokenizer(job)
    write_metrics(job.work, result.points)
    training = asdict(result) | {"metric": job.task.metrics[0], "config": job.stage.config}
    del training["points"]
    text = json.dumps(training, indent=2, sort_keys=True)
    (job.work / "training.json").write_text(text + "\n", encoding="utf-8")
    # A killed save leaves it behind, and on a GPU the resumed epoch may score a little worse and save nothing.
    shutil.rmtree(job.work / _TEMPORARY, ignore_errors=True)


def _save_nothing(_model: BertForSequenceClassification) -> None:
    pass


def _with_transfer_set(job: Job, table: TokenTable) -> TokenTable:
    """Return the training split, followed by the transfer set if there is one, whose labels are marked as missing."""
    if "transfer" not in job.inputs:
        return table
    return append_unlabelled(table, TokenTable.load(job.inputs["transfer"], SPLIT))


def _copy_tokenizer(job: Job) -> None:
    """Copy the pretrained model's tokenizer.

    Raises:
        StoreError: It is not the one that made the tokens.
    """
    source = job.model_folder
    for name in TOKENIZER_FILES:
        (job.work / name).unlink(missing_ok=True)
        if (source / name).is_file():
            shutil.copyfile(source / name, job.work / name)
    if sha256_folder(job.work, TOKENIZER_FILES) != job.manifests["tokens"].inputs["tokenizer"]:
        raise StoreError(
            f"{job.stage.key} needs the tokenizer that made its tokens, and {source} has another one by now; run again."
        )


def _save_model(
    model: BertForSequenceClassification, folder: Path, num_choices: int, scale: ScoreScale | None
) -> None:
    """Save a model into a temporary folder first, so that the weights in `folder` are complete at every moment."""
    temporary = folder / _TEMPORARY
    shutil.rmtree(temporary, ignore_errors=True)
    with nullcontext() if scale is None else scale.undone(model):
        save_classifier(model, temporary, num_choices)
    fsync_tree(temporary)
    for path in temporary.iterdir():
        durable_rename(path, folder / path.name)
    temporary.rmdir()
