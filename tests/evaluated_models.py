"""Models that were evaluated, published without any training: the files that `pkd compare` reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pkd_core.evaluation.answers import write_answers
from pkd_core.evaluation.result import EvaluationResult, write_result
from pkd_core.store.address import Address, Area, StageRecord
from pkd_core.store.fingerprint import sha256_file
from pkd_core.store.stage_store import StageStore

Array = np.ndarray[Any, Any]


def publish_model(
    root: Path,
    task: str,
    name: str,
    labels: Array,
    logits: Array,
    raw_hash: str | None = None,
    age: str = "0",
    on_test: Array | None = None,
) -> Path:
    """Publish tokens, a model and its evaluation, and return the evaluation's folder.

    Args:
        root: The workspace.
        task: The task, whose dev file is in the workspace.
        name: The model's stage, such as "kd-2l-s1".
        labels: Gold classes or scores.
        logits: Outputs of the model.
        raw_hash: Hash of the dev file that the tokens were made from; by default that of the file that is there.
        age: A hexadecimal digit that tells two models of the same name apart.
        on_test: Outputs for a labelled test split with the same gold answers; None without one.
    """
    raw = raw_hash or sha256_file(root / "data_raw" / task / "dev.tsv")
    tokens = _publish(root, "data_feat", task, "tokens", raw[0], {"raw/dev": raw}, _file("tokens", raw))
    model = _publish(root, "artifacts", task, name, age, {"tokens": tokens}, _file("config.json", name + age))
    metric = "accuracy" if logits.shape[1] > 1 else "pearson"

    def evaluate(folder: Path) -> None:
        scores = {}
        for split, outputs in {"dev": logits, "test": on_test}.items():
            if outputs is not None:
                write_answers(folder, split, np.arange(len(labels)), labels, outputs)
                predictions = outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0]
                scores[f"{split}/{metric}"] = float((predictions == labels).mean())
        write_result(folder, _result(task, name, scores, f"dev/{metric}"))

    inputs = {"tokens": tokens, "model": model}
    _publish(root, "artifacts", task, f"evaluation-{name}", age, inputs, evaluate)
    return root / "artifacts" / task / f"evaluation-{name}-{16 * age}"


def _file(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def _publish(
    root: Path,
    area: Area,
    task: str,
    stage: str,
    digit: str,
    inputs: dict[str, str],
    write: Callable[[Path], object],
) -> str:
    store, address = StageStore(root), Address(area, task, stage, 16 * digit)
    if (root / address.folder).exists():
        return StageStore(root).record(address, store.inspect(address, inputs).manifest).digest  # type: ignore[arg-type]
    with store.writing(address, inputs) as work:
        write(work)
        record: StageRecord = store.publish(address, code_version=1, config={}, inputs=inputs, facts={})
    return record.digest


def _result(task: str, name: str, scores: dict[str, float], selection: str) -> EvaluationResult:
    return EvaluationResult(
        task=task,
        method=name.partition("-")[0],
        num_layers=2,
        seed=1,
        scores=scores,
        selection=selection,
        baseline=0.5,
        num_dev=24,
        predicted_classes=2,
        parameters=1000,
        size_bytes=4000,
        speed=None,
        best_epoch=1,
        precision="float32",
        settings={},
        hidden_size=32,
        skipped_lines={},
    )
