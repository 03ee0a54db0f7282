"""The result of evaluating one trained model: written by its evaluation, read by the report and by MLflow."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pkd_core.evaluation.speed_result import Speed

_FILE = "evaluation.json"


@dataclass(frozen=True)
class EvaluationResult:
    """One trained model's scores, size and speed.

    Attributes:
        task: Task name.
        method: "teacher", "finetune", "kd", "kd.full", "pkd-skip" or "pkd-last".
        num_layers: Depth.
        seed: Seed of its training; None for the teacher, whose seed is among its settings.
        scores: Fractions by "<split>/<metric>", such as {"dev/accuracy": 0.73}.
        selection: The key of `scores` that selected the best epoch.
        baseline: That score for always giving the most frequent answer.
        num_dev: Examples of the selecting dev split.
        predicted_classes: How many different classes, or sets of labels, it predicts there; None for a score.
        parameters: Number of parameters.
        size_bytes: Size of the weights file.
        speed: How much faster than the teacher models of its depth are; None for the teacher.
        best_epoch: Epoch whose weights were kept, from 1; None for a teacher that was not trained here.
        precision: What the forward of its training computed in.
        settings: Settings used, by dotted key.
        hidden_size: Width D.
        skipped_lines: Skipped lines of the raw files, by split.
    """

    task: str
    method: str
    num_layers: int
    seed: int | None
    scores: Mapping[str, float]
    selection: str
    baseline: float
    num_dev: int
    predicted_classes: int | None
    parameters: int
    size_bytes: int
    speed: Speed | None
    best_epoch: int | None
    precision: str
    settings: Mapping[str, Any]
    hidden_size: int
    skipped_lines: Mapping[str, int]

    @property
    def score(self) -> float:
        """The selecting score."""
        return self.scores[self.selection]

    @property
    def speed_ratio(self) -> float | None:
        """How many times faster than the teacher; None for the teacher."""
        return self.speed.ratio if self.speed else None


def write_result(folder: Path, result: EvaluationResult) -> None:
    """Write `evaluation.json` into a folder."""
    (folder / _FILE).write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")


def read_result(folder: Path) -> EvaluationResult:
    """Read a published evaluation.

    Raises:
        TypeError: If the file has other keys than `write_result` writes.
    """
    values = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    if values.get("speed"):
        values["speed"] = Speed(**values["speed"])
    return EvaluationResult(**values)
