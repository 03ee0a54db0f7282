"""What a user would train instead of pkd's student: with transformers' Trainer, with TextBrewer, with setfit."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from benchmarks.labelled_texts import LabelledTexts

_BATCH_SIZE = 32
_MAX_LENGTH = 128


@dataclass(frozen=True)
class Recipe:
    """What all students share.

    Attributes:
        train: The labelled texts.
        teacher: Folder of a fine-tuned classifier with the same labels in the same order.
        model: Folder of the pretrained BERT whose first layers a student starts from.
        num_layers: Depth of the students.
        num_epochs: Passes over the training texts.
        learning_rate: Peak learning rate.
        seed: Of order, dropout and new weights.
    """

    train: LabelledTexts
    teacher: Path
    model: Path
    num_layers: int
    num_epochs: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Student:
    """A trained student.

    Attributes:
        name: What trained it.
        logits: Turns texts into scores of the labels, (R, C).
        seconds: CPU time of its training, with its teacher's if it needs one of its own.
    """

    name: str
    logits: Callable[[Sequence[str]], np.ndarray[Any, Any]]
    seconds: float


def train_with_transformers(recipe: Recipe) -> Student:
    """Fine-tune the first layers of the pretrained model with transformers' Trainer, as its documentation shows."""
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    model, tokenizer = _untrained_student(recipe)
    encoded = tokenizer(list(recipe.train.texts), truncation=True, max_length=_MAX_LENGTH)
    rows = [
        {**{key: values[row] for key, values in encoded.items()}, "labels": label}
        for row, label in enumerate(recipe.train.labels)
    ]
    with tempfile.TemporaryDirectory() as folder, _cpu_seconds() as seconds:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=_BATCH_SIZE,
            num_train_epochs=recipe.num_epochs,
            learning_rate=recipe.learning_rate,
            warmup_steps=0.1,
            weight_decay=0.01,
            seed=recipe.seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        Trainer(model, arguments, DataCollatorWithPadding(tokenizer), rows).train()
    return Student("transformers, Trainer", _predictor(model, tokenizer), seconds[0])


def train_with_textbrewer(recipe: Recipe) -> Student:
    """Distil with TextBrewer's GeneralDistiller: logits at temperature 4, its teacher in every step."""
    from textbrewer import DistillationConfig, GeneralDistiller
    from textbrewer import TrainingConfig as TextbrewerTraining

    student, tokenizer = _untrained_student(recipe)
    teacher = AutoModelForSequenceClassification.from_pretrained(recipe.teacher, local_files_only=True)

    torch.nn.Module.eval(teacher)  # transformers' own `eval` has no types

    def adapt(_batch: dict[str, Tensor], output: Any) -> dict[str, Any]:
        return {"logits": output.logits, "losses": output.loss}

    num_steps = recipe.num_epochs * -(-len(recipe.train.texts) // _BATCH_SIZE)
    optimizer = torch.optim.AdamW(student.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(step / (0.1 * num_steps), (num_steps - step) / (0.9 * num_steps))
    )
    student.train()
    with tempfile.TemporaryDirectory() as folder, _cpu_seconds() as seconds:
        distiller = GeneralDistiller(
            TextbrewerTraining(device="cpu", output_dir=folder),
            DistillationConfig(temperature=4, hard_label_weight=0, kd_loss_weight=1),
            teacher,
            student,
            adapt,
            adapt,
        )
        with distiller:
            for batch in _batches(recipe, tokenizer):
                loss, _ = distiller.train_on_batch(batch, {})
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
    return Student("TextBrewer, logits", _predictor(student, tokenizer), seconds[0])


def train_with_setfit(recipe: Recipe, num_labelled: int, num_unlabelled: int) -> Student:
    """Distil with setfit: a teacher on few labels of each class, and a student on the teacher's labels of more texts.

    setfit trains sentence embeddings on pairs of texts and a linear classifier on top, so it has no use for the given
    teacher's logits; its teacher is the pretrained model in its full depth.

    Args:
        recipe: Its training texts, model, depth and seed.
        num_labelled: Labelled texts of each class for the teacher.
        num_unlabelled: Texts that the student learns from.
    """
    from datasets import Dataset
    from setfit import DistillationTrainer, SetFitModel, Trainer, TrainingArguments

    labels = np.array(recipe.train.labels)
    order = np.random.default_rng(recipe.seed).permutation(len(labels))
    few = np.concatenate([order[labels[order] == label][:num_labelled] for label in np.unique(labels)])
    labelled = Dataset.from_dict(
        {"text": [recipe.train.texts[row] for row in few], "label": labels[few].tolist()}
    )
    unlabelled = Dataset.from_dict({"text": [recipe.train.texts[row] for row in order[:num_unlabelled]]})
    with tempfile.TemporaryDirectory() as folder, _cpu_seconds() as seconds:
        arguments = TrainingArguments(
            output_dir=folder,
            num_epochs=1,
            num_iterations=5,
            batch_size=_BATCH_SIZE,
            seed=recipe.seed,
            report_to="none",
        )
        teacher = SetFitModel.from_pretrained(str(recipe.model))
        Trainer(model=teacher, args=arguments, train_dataset=labelled).train()
        short = Path(folder) / "student"
        model, tokenizer = _untrained_student(recipe)
        model.bert.save_pretrained(short)
        tokenizer.save_pretrained(short)
        student = SetFitModel.from_pretrained(str(short))
        DistillationTrainer(
            teacher_model=teacher, student_model=student, args=arguments, train_dataset=unlabelled
        ).train()
    return Student(
        "setfit, DistillationTrainer",
        lambda texts: np.asarray(student.predict_proba(list(texts))),
        seconds[0],
    )


def _untrained_student(recipe: Recipe) -> tuple[BertForSequenceClassification, PreTrainedTokenizerBase]:
    torch.manual_seed(recipe.seed)
    model = BertForSequenceClassification.from_pretrained(
        recipe.model,
        num_hidden_layers=recipe.num_layers,
        num_labels=max(recipe.train.labels) + 1,
        local_files_only=True,
        dtype=torch.float32,
    )
    return model, AutoTokenizer.from_pretrained(recipe.model, local_files_only=True)


def _batches(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Iterator[dict[str, Tensor]]:
    generator = np.random.default_rng(recipe.seed)
    for _ in range(recipe.num_epochs):
        order = generator.permutation(len(recipe.train.texts))
        for start in range(0, len(order), _BATCH_SIZE):
            rows = order[start : start + _BATCH_SIZE]
            texts = [recipe.train.texts[row] for row in rows]
            batch = tokenizer(
                texts, truncation=True, max_length=_MAX_LENGTH, padding=True, return_tensors="pt"
            )
            yield {**batch, "labels": torch.tensor([recipe.train.labels[row] for row in rows])}


def _predictor(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> Callable[[Sequence[str]], np.ndarray[Any, Any]]:
    torch.nn.Module.eval(model)

    @torch.inference_mode()
    def logits(texts: Sequence[str]) -> np.ndarray[Any, Any]:
        batch = tokenizer(
            list(texts), truncation=True, max_length=_MAX_LENGTH, padding=True, return_tensors="pt"
        )
        array: np.ndarray[Any, Any] = model(**batch).logits.numpy()
        return array

    return logits


@contextmanager
def _cpu_seconds() -> Iterator[list[float]]:
    """Yield a list that holds the process's CPU seconds of the body when that has ended."""
    taken: list[float] = []
    begin = time.process_time()
    yield taken
    taken.append(time.process_time() - begin)
