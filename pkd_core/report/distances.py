"""How far the students' states are from the teacher's, as means over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from pkd_core.evaluation.distances_result import Distances, LayerDistance
from pkd_core.report.cells import ABSENT
from pkd_core.report.results import depth_name
from pkd_core.report.tables import Table

_OTHER_WIDTH = (
    "Not measured: the students' states have another width than the teacher's, and what projects them is not kept "
    "after the training."
)


@dataclass(frozen=True)
class MethodDistances:
    """The distances of one method and depth of a task.

    Attributes:
        task: Task name.
        method: The students' method.
        num_layers: Their depth.
        num_seeds: How many of them there are.
        num_examples: Training examples that each distance is a mean over.
        layers: Means over seeds; empty where the states' widths differ.
    """

    task: str
    method: str
    num_layers: int
    num_seeds: int
    num_examples: int
    layers: Sequence[LayerDistance]

    @property
    def name(self) -> str:
        """Method and depth for readers."""
        return f"{self.method}, {depth_name(self.num_layers)}"


def mean_over_seeds(task: str, method: str, num_layers: int, seeds: Sequence[Distances]) -> MethodDistances:
    """Return the means over students that differ in their seed."""
    first = seeds[0]
    layers = [
        replace(
            of_pair[0],
            before=fmean(one.before for one in of_pair),
            after=fmean(one.after for one in of_pair),
        )
        for of_pair in zip(*(one.layers for one in seeds), strict=True)
    ]
    return MethodDistances(task, method, num_layers, len(seeds), first.num_examples, layers)


def about_distances(of_task: Sequence[MethodDistances]) -> str:
    """Return what a task's distances are, in a few sentences."""
    if not any(one.layers for one in of_task):
        return _OTHER_WIDTH
    return (
        f"Mean squared distance between the unit-length [CLS] states of a student and the teacher, over "
        f"{of_task[0].num_examples} training examples: 0 for the same direction, 2 for orthogonal states. Each student "
        "layer is compared with the teacher's at the same part of the depth, and with the one that its training "
        "matches it with (*): before → after the training, mean over seeds."
    )


def distances_tables(of_task: Sequence[MethodDistances]) -> list[Table]:
    """Return a table for each depth, with a column for each pair of layers, of the distance before and after."""
    measured = [one for one in of_task if one.layers]
    depths = dict.fromkeys(one.num_layers for one in measured)
    return [_table([one for one in measured if one.num_layers == depth]) for depth in depths]


def _table(of_depth: Sequence[MethodDistances]) -> Table:
    pairs = sorted({layer.layers for one in of_depth for layer in one.layers})
    rows = []
    for one in of_depth:
        cells = {layer.layers: _cell(layer) for layer in one.layers}
        rows.append([one.name, *(cells.get(pair, ABSENT) for pair in pairs)])
    return Table(["student ← teacher layer", *(f"{student} ← {teacher}" for student, teacher in pairs)], rows)


def _cell(layer: LayerDistance) -> str:
    return f"{layer.before:.3f} → {layer.after:.3f}" + ("*" if layer.is_matched else "")
