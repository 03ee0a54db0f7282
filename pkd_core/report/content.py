"""What a report is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pkd_core.report.by_label import MethodLabels
from pkd_core.report.confusion import Confusion
from pkd_core.report.curves import Curves
from pkd_core.report.differences import ComparedPair
from pkd_core.report.distances import MethodDistances
from pkd_core.report.results import BaseModel, ResultRow
from pkd_core.report.tables import Published


@dataclass(frozen=True)
class Report:
    """Everything that a run's report shows.

    Attributes:
        rows: One for each trained model; tasks are shown in order of first appearance.
        failures: Reason of failure by stage.
        base_model: The pretrained model of all of them.
        published: Returns the published dev score of (task, method, depth) as a fraction, or None.
        no_published: Why there are no published scores to compare with, as the end of a sentence; else empty.
        pairs: Which methods can be told apart.
        curves: The courses of the trainings.
        confusions: Which labels were confused.
        labels: How well each label was found.
        distances: How far the students' states are from the teacher's.
        command: Repeats the run.
    """

    rows: Sequence[ResultRow]
    failures: Mapping[str, str]
    base_model: BaseModel
    published: Published | None = None
    no_published: str = ""
    pairs: Sequence[ComparedPair] = ()
    curves: Sequence[Curves] = ()
    confusions: Sequence[Confusion] = ()
    labels: Sequence[MethodLabels] = ()
    distances: Sequence[MethodDistances] = ()
    command: str = ""
