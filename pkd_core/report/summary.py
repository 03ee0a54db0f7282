"""The comparison of one task, method and depth as `report.json` holds it, for programs that read the report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pkd_core.errors import StoreError
from pkd_core.evaluation.paired_bootstrap import Difference
from pkd_core.report.cells import remark
from pkd_core.report.differences import ComparedPair
from pkd_core.report.results import Group

FILE = "report.json"


@dataclass(frozen=True)
class GroupSummary:
    """One line of the report's table; see `Group` for what each value means."""

    task: str
    method: str
    num_layers: int
    seeds: Sequence[int | None]
    selection: str
    final: str
    score: float
    mean: Mapping[str, float]
    std: Mapping[str, float | None]
    interval: Sequence[float] | None
    baseline: float | None
    gap_to_teacher: float | None
    gap_closed: float | None
    parameters: int
    size_bytes: int
    times_smaller: float | None
    speed_ratio: float | None
    speed_interval: Sequence[float] | None
    published: float | None
    remark: str

    @property
    def name(self) -> str:
        """Task, method and depth, such as "RTE-pkd-skip-3l"."""
        return f"{self.task}-{self.method}-{self.num_layers}l"

    @classmethod
    def of(cls, group: Group, published: float | None) -> Self:
        """Summarize a group, beside the authors' published score if there is one."""
        first = group.rows[0]
        return cls(
            task=group.task,
            method=group.method,
            num_layers=group.num_layers,
            seeds=[row.seed for row in group.rows],
            selection=group.selection,
            final=group.final,
            score=group.score,
            mean=dict(group.mean),
            std=dict(group.std),
            interval=group.interval,
            baseline=first.baseline,
            gap_to_teacher=group.gap_to_teacher,
            gap_closed=group.gap_closed,
            parameters=first.parameters,
            size_bytes=first.size_bytes,
            times_smaller=group.times_smaller,
            speed_ratio=group.speed.ratio if group.speed else None,
            speed_interval=[group.speed.low, group.speed.high] if group.speed else None,
            published=published,
            remark=remark(group),
        )


def read_pairs(folder: Path) -> list[ComparedPair]:
    """Read the compared methods of a published report.

    Raises:
        StoreError: It cannot be read, or is of another version.
    """
    try:
        pairs = json.loads((folder / FILE).read_text(encoding="utf-8"))["differences"]
        return [ComparedPair(**pair | {"result": Difference(**pair["result"])}) for pair in pairs]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the report {folder} cannot be read; run again to write a new one.") from error


def read_summary(folder: Path) -> list[GroupSummary]:
    """Read the groups of a published report."""
    report = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return [GroupSummary(**group) for group in report["groups"]]
