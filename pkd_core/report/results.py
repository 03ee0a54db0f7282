"""One row for each trained model, and their comparison: means over seeds, gaps to the teacher, size and speed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Any

from pkd_core.evaluation.speed_result import Speed
from pkd_core.report.intervals import wilson_interval

# The mean of equal scores may differ from them by this.
_ROUNDING = 1e-9
# Metrics that are the part of the examples answered rightly.
COUNTED_METRICS = ("accuracy", "subset_accuracy")
# The split that chose nothing, if it has labels.
TEST = "test"
METHODS = ("teacher", "finetune", "kd", "pkd-skip", "pkd-last", "kd.full")


@dataclass(frozen=True)
class BaseModel:
    """The pretrained model that teachers and students start from.

    Attributes:
        name: Its name on the hub, or its folder's name.
        digest: Hash of its configuration and weights.
        student: What students start from, if that is another one.
        remark: A sentence on how its tokenizer differs from that of `student`; may be empty.
    """

    name: str
    digest: str
    student: "BaseModel | None" = None
    remark: str = ""

    @property
    def short_digest(self) -> str:
        """The first 12 digits of the digest, as MLflow's tags have them."""
        return self.digest[:12]


@dataclass(frozen=True)
class ResultRow:
    """One trained model.

    Attributes:
        task: Task name.
        method: One of `METHODS`.
        num_layers: Depth.
        seed: Seed of its training.
        scores: Fractions by "<split>/<metric>", such as {"dev/accuracy": 0.73}.
        selection: The key of `scores` that selected the best epoch.
        parameters: Number of parameters.
        size_bytes: Size of the weights file.
        speed: How much faster than the teacher its depth was measured; None for the teacher.
        baseline: Final score of a constant prediction, the most frequent label.
        predicted_classes: How many different classes or sets of labels it predicts on the dev split; None for a score.
        settings: Settings of the training by dotted key.
        preset: Source of the settings.
        best_epoch: Epoch whose weights were kept, from 1; None for a teacher that was not trained here.
        extra: Further JSON values, among them "num_dev" and "num_test" (examples of the dev split, and of a labelled
            test split) and "skipped_lines" (number by split).
    """

    task: str
    method: str
    num_layers: int
    seed: int | None
    scores: Mapping[str, float]
    selection: str
    parameters: int
    size_bytes: int
    speed: Speed | None
    baseline: float | None
    predicted_classes: int | None
    settings: Mapping[str, Any]
    preset: str
    best_epoch: int | None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> str:
        """Key of the score that models are compared by: that of a labelled test split, else the selecting one."""
        on_test = f"{TEST}/{self.selection.partition('/')[2]}"
        return on_test if on_test in self.scores else self.selection

    @property
    def num_scored(self) -> int | None:
        """Number of examples that the final score is of; None if unknown."""
        number: int | None = self.extra.get("num_dev" if self.final == self.selection else "num_test")
        return number


@dataclass(frozen=True)
class Group:
    """The rows of one task, method and depth, which differ by seed, and their comparison with the teacher.

    Attributes:
        task: Task name.
        method: One of `METHODS`.
        num_layers: Depth.
        rows: The rows, by seed.
        mean: Mean over the seeds by score key, the selecting one first.
        std: Sample standard deviation over the seeds by score key; None for a single seed.
        speed: How much faster than the teacher its depth was measured; None for the teacher.
        gap_to_teacher: Score minus the teacher's score; None for the teacher, or without one.
        gap_closed: (score - finetune) / (teacher - finetune), with fine-tuning at the same depth; None where the
            teacher's lead over fine-tuning may be chance.
        times_smaller: The teacher's number of parameters over this model's.
    """

    task: str
    method: str
    num_layers: int
    rows: tuple[ResultRow, ...]
    mean: Mapping[str, float]
    std: Mapping[str, float | None]
    speed: Speed | None
    gap_to_teacher: float | None = None
    gap_closed: float | None = None
    times_smaller: float | None = None

    @property
    def selection(self) -> str:
        """Key of the score that selected the best epoch."""
        return self.rows[0].selection

    @property
    def final(self) -> str:
        """Key of the score that groups are compared by; see `ResultRow`."""
        return self.rows[0].final

    @property
    def final_split(self) -> str:
        """The split of the final score: "test" if it has labels, else "dev"."""
        return self.final.partition("/")[0]

    @property
    def score(self) -> float:
        """Mean of the final score."""
        return self.mean[self.final]

    @property
    def name(self) -> str:
        """Method and depth, such as "pkd-skip, 6 layers"."""
        return f"{self.method}, {depth_name(self.num_layers)}"

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of a part of the examples; None for other metrics or an unknown number of examples."""
        num_scored = self.rows[0].num_scored
        if not num_scored or self.final.rpartition("/")[2] not in COUNTED_METRICS:
            return None
        return wilson_interval(self.score, num_scored)

    @property
    def is_useless(self) -> bool:
        """Whether it scores no better than always giving the most frequent answer."""
        baseline = self.rows[0].baseline
        return baseline is not None and self.score <= baseline + _ROUNDING

    @property
    def collapsed(self) -> tuple[ResultRow, ...]:
        """The rows that give one answer to every example."""
        return tuple(row for row in self.rows if row.predicted_classes == 1)


def depth_name(num_layers: int) -> str:
    """Return a depth for readers, such as "3 layers"."""
    return "1 layer" if num_layers == 1 else f"{num_layers} layers"


def aggregate(rows: Sequence[ResultRow]) -> list[Group]:
    """Group rows by task, method and depth.

    Args:
        rows: Results in any order.

    Returns:
        Groups by task in order of first appearance, teacher first, then by decreasing depth and in the order of
        `METHODS`.
    """
    tasks = list(dict.fromkeys(row.task for row in rows))
    members: dict[tuple[str, str, int], list[ResultRow]] = {}
    for row in rows:
        members.setdefault((row.task, row.method, row.num_layers), []).append(row)
    groups = [
        _group(sorted(seeds, key=lambda row: (row.seed is None, row.seed or 0))) for seeds in members.values()
    ]
    groups.sort(
        key=lambda group: (
            tasks.index(group.task),
            group.method != "teacher",
            -group.num_layers,
            METHODS.index(group.method),
        )
    )
    return [_compared(group, groups) for group in groups]


def _group(rows: list[ResultRow]) -> Group:
    first = rows[0]
    assert all(row.selection == first.selection for row in rows), "one selecting score a group"
    assert all(row.speed == first.speed for row in rows), "one measured speed a depth"
    keys = sorted({key for row in rows for key in row.scores}, key=lambda key: (key != first.selection, key))
    values = {key: [row.scores[key] for row in rows if key in row.scores] for key in keys}
    return Group(
        task=first.task,
        method=first.method,
        num_layers=first.num_layers,
        rows=tuple(rows),
        mean={key: fmean(scores) for key, scores in values.items()},
        std={key: stdev(scores) if len(scores) > 1 else None for key, scores in values.items()},
        speed=first.speed,
    )


def _compared(group: Group, groups: list[Group]) -> Group:
    """Return the group compared with the teacher and the fine-tuned student of its task."""
    of_task = [other for other in groups if other.task == group.task]
    teacher = next((other for other in of_task if other.method == "teacher"), None)
    if teacher is None or group.method == "teacher":
        return group
    same_depth = [other for other in of_task if other.num_layers == group.num_layers]
    finetuned = next((other for other in same_depth if other.method == "finetune"), None)
    gap_closed = None
    # A gap that may be chance measures nothing: fine-tuning must score less than what the teacher may score at least.
    least = teacher.interval[0] if teacher.interval else teacher.score
    if finetuned is not None and group is not finetuned and finetuned.score < least:
        gap_closed = (group.score - finetuned.score) / (teacher.score - finetuned.score)
    return replace(
        group,
        gap_to_teacher=group.score - teacher.score,
        gap_closed=gap_closed,
        times_smaller=teacher.rows[0].parameters / group.rows[0].parameters,
    )


def by_task(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return the groups of each task, in order."""
    tasks = dict.fromkeys(group.task for group in groups)
    return {task: [group for group in groups if group.task == task] for task in tasks}
