"""How far a student's states are from its teacher's, as they were measured."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pkd_core.method.layer_map import same_depth

_FILE = "distances.json"


@dataclass(frozen=True)
class LayerDistance:
    """The mean squared distance between the unit-length [CLS] states of a student layer and a teacher layer.

    Attributes:
        student_layer: From 1.
        teacher_layer: From 1.
        is_matched: Whether the student's training compares these two layers.
        before: Distance before the training, from 0 (the same direction) to 4; 2 where states are orthogonal.
        after: Distance of the trained student.
    """

    student_layer: int
    teacher_layer: int
    is_matched: bool
    before: float
    after: float

    @property
    def layers(self) -> tuple[int, int]:
        """The pair of layers, the student's first."""
        return self.student_layer, self.teacher_layer


@dataclass(frozen=True)
class Distances:
    """What was measured of one student.

    Attributes:
        num_examples: Training examples that it is a mean over.
        layers: Every student layer at least once, in order; empty where the states' widths differ.
    """

    num_examples: int
    layers: Sequence[LayerDistance]


def at_same_depth(layers: Sequence[LayerDistance]) -> list[LayerDistance]:
    """Return the distance of each student layer to the teacher's at the same depth, without those of matched layers."""
    if not layers:
        return []
    # The last layers of both, which no training matches.
    pairs = same_depth(*layers[-1].layers)
    return [layer for layer in layers if layer.layers in pairs]


def write_distances(folder: Path, distances: Distances) -> None:
    """Write `distances.json` into a folder."""
    (folder / _FILE).write_text(json.dumps(asdict(distances), indent=2) + "\n", encoding="utf-8")


def read_distances(folder: Path) -> Distances:
    """Read published distances.

    Raises:
        TypeError: If the file has other keys than `write_distances` writes.
    """
    values = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    return Distances(**values | {"layers": [LayerDistance(**layer) for layer in values["layers"]]})
