"""What was measured of an exported model, as a file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pkd_core.evaluation.text_answers import Kind

_FILE = "export.json"


@dataclass(frozen=True)
class ExportResult:
    """An exported model beside the one that it was made from.

    Attributes:
        model: Name of its stage, such as "kd-3l-s42".
        kind: What it answers with.
        max_length: Tokens kept of an example.
        bytes: Size of each file of the bundle.
        parity_texts: How many dev texts torch and ONNX in float32 both computed, alone and in padded batches.
        largest_difference: The largest difference of their logits.
        num_dev: How many dev texts int8 and float32 both answered.
        share_changed: Part of these answers that int8 changes; for scores, 1 minus the correlation.
        max_changed: The largest part that is allowed.
        refused: Why int8 is not published, as a sentence; empty if it is.
        int8_scores: Its scores by "split/metric", such as "dev/accuracy"; empty if it is not published.
        machine: Model of the processor that computed int8, on which the last digits depend.
        versions: Of the packages that made the files.
    """

    model: str
    kind: Kind
    max_length: int
    bytes: Mapping[str, int]
    parity_texts: int
    largest_difference: float
    num_dev: int
    share_changed: float
    max_changed: float
    refused: str
    int8_scores: Mapping[str, float]
    machine: str
    versions: Mapping[str, str]

    @property
    def has_int8(self) -> bool:
        """Whether int8 is published."""
        return not self.refused


def int8_answers(split: str) -> str:
    """Return the name under which `write_answers` keeps the answers of int8 to a split.

    >>> int8_answers("dev")
    'onnx-int8-dev'
    """
    return f"onnx-int8-{split}"


def write_export(folder: Path, result: ExportResult) -> None:
    """Write `export.json` into a folder."""
    (folder / _FILE).write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")


def read_export(folder: Path) -> ExportResult:
    """Read a published result.

    Raises:
        TypeError: If the file has other keys than `write_export` writes.
    """
    return ExportResult(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
