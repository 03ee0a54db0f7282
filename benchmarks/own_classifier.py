"""A user's own classifier: pkd's student beside what a user would train instead, on one set, in one run.

    python -m benchmarks.own_classifier TRAIN.csv TEST.csv --teacher FOLDER --model FOLDER

The files have a header, then text and label. All students start from the first layers of the same model and pass over
the same texts equally often; pkd takes a tenth of them out for choosing, and the others have no use for such a part.
"""

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.labelled_texts import LabelledTexts, read_texts
from benchmarks.other_distillers import (
    Recipe,
    Student,
    train_with_setfit,
    train_with_textbrewer,
    train_with_transformers,
)
from pkd_core import compress
from pkd_core.config.latency_settings import LatencyConfig
from pkd_core.export.bundle_predict import FLOAT32, INT8, Model
from pkd_core.latency.measure import Example, Predictor, Variant, measure_latency
from pkd_core.runtime.device import machine_of
from pkd_core.runtime.process_setup import configure_process


def train_with_pkd(recipe: Recipe, test: LabelledTexts, method: str) -> Iterator[Student]:
    """Yield pkd's student in each published ONNX format; the seconds are of all stages, with exports and timing."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        for name, texts in (("train", recipe.train), ("test", test)):
            _write(data / f"{name}.csv", texts)
        begin = time.process_time()
        result = compress(
            data,
            teachers=[recipe.teacher],
            student_model=str(recipe.model),
            student_layers=recipe.num_layers,
            methods=(method,),
            seeds=(recipe.seed,),
            workspace=folder,
            settings={
                "student.num_epochs": recipe.num_epochs,
                "student.learning_rate": recipe.learning_rate,
                "compute.threads": torch.get_num_threads(),
            },
        )
        seconds = time.process_time() - begin
        for file, form in ((FLOAT32, "ONNX float32"), (INT8, "ONNX int8")):
            if (result.bundle / file).exists():
                model = Model(result.bundle, file)
                order = [model.labels.index(name) for name in recipe.train.names]
                yield Student(f"pkd, {method}, {form}", _in_order(model, order), seconds)


def _in_order(model: Model, order: Sequence[int]) -> Callable[[Sequence[str]], np.ndarray[Any, Any]]:
    return lambda texts: model.logits(texts)[:, order]


def _write(path: Path, texts: LabelledTexts) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        rows.writerows(
            (text, texts.names[label]) for text, label in zip(texts.texts, texts.labels, strict=True)
        )


def _accuracy(student: Student, test: LabelledTexts) -> float:
    answers = [
        student.logits(test.texts[start : start + 32]).argmax(axis=1)
        for start in range(0, len(test.texts), 32)
    ]
    return float((np.concatenate(answers) == np.array(test.labels)).mean())


def _predictor(student: Student) -> Predictor:
    def predict(examples: Sequence[Example]) -> object:
        return student.logits([texts[0] for texts in examples])

    return predict


def _train_all(recipe: Recipe, test: LabelledTexts) -> Iterator[Student]:
    yield from train_with_pkd(recipe, test, "kd")
    yield from train_with_pkd(recipe, test, "finetune")
    yield train_with_transformers(recipe)
    yield train_with_textbrewer(recipe)
    yield train_with_setfit(recipe, num_labelled=4, num_unlabelled=2 * len(recipe.train.names))


def main() -> None:
    """Train, score and time every student, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.own_classifier", description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument(
        "--teacher", type=Path, required=True, help="fine-tuned classifier, in transformers' files"
    )
    parser.add_argument("--model", type=Path, required=True, help="pretrained BERT of the students")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--rows", type=int, help="how many training rows; all by default")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    given = parser.parse_args()
    configure_process()
    torch.set_num_threads(1)
    train = read_texts(given.train, num_rows=given.rows)
    test = read_texts(given.test, train.names)
    recipe = Recipe(
        train, given.teacher, given.model, given.layers, given.epochs, given.learning_rate, seed=1
    )
    students, accuracies = [], []
    for student in _train_all(recipe, test):
        students.append(student)
        accuracies.append(100 * _accuracy(student, test))
        print(f"{student.name}: {accuracies[-1]:.1f}, {student.seconds:.0f} s", file=sys.stderr, flush=True)
    variants = [Variant(student.name, "torch-float32", _predictor(student), 0) for student in students]
    examples = [(text,) for text in test.texts]
    timing = measure_latency(variants, examples, LatencyConfig(), machine_of("cpu"))
    print(
        f"{timing.machine}, {len(train.texts)} training rows, {given.layers} layers, {given.epochs} epochs\n"
    )
    print("| student | test accuracy | CPU seconds | p50 ms | p99 ms |\n|---|---|---|---|---|")
    for student, accuracy, row in zip(students, accuracies, timing.rows, strict=True):
        print(
            f"| {student.name} | {accuracy:.1f} | {student.seconds:.0f} | {row.p50_ms:.1f} | {row.p99_ms:.1f} |"
        )


if __name__ == "__main__":
    main()
