"""Runs of the same two tasks: on how many hosts, in which kind of place, and what happens to a host meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster.hosts import Host
from cluster.losses import Loss, cut_off, freeze, kill_ray
from cluster.outcome import differences
from cluster.scenario import Run, Seen, lab, run_again, run_over
from cluster.services import BUCKET

_S3 = f"s3://{BUCKET}/pkd"
_FOLDER = "file:///tmp/shared/pkd"


@dataclass(frozen=True)
class Case:
    """A run over hosts.

    Attributes:
        place: URL of the shared workspace.
        num_cpus: Stages that each host computes at a time.
        loss: What happens to the last host; None if nothing.
    """

    place: str
    num_cpus: tuple[int, ...] = (0, 1, 1)
    loss: Callable[[Run, Host], Loss] | None = None


CASES = {
    "s3-one-host": Case(_S3, (2,)),
    "s3": Case(_S3),
    "s3-cut": Case(_S3, loss=cut_off),
    "folder-killed": Case(_FOLDER, loss=kill_ray),
    "folder-frozen": Case(_FOLDER, loss=freeze),
}


@dataclass(frozen=True)
class Measured:
    """What a case took, and what was wrong.

    Attributes:
        seconds: Of the run.
        seconds_again: Of the next run, which had nothing to do.
        loss: What was seen of the host that was lost.
        wrong: A line for each thing that differs from the run on one host; empty if all is well.
        seen: What the runs have left.
    """

    seconds: float
    seconds_again: float
    loss: Loss | None
    wrong: list[str]
    seen: Seen


def measure(case: Case, folder: Path, plain: Seen) -> Measured:
    """Run a case in an empty folder, and compare with the run on one host."""
    with lab(folder, case.num_cpus) as found:
        with run_over(found, case.place) as run:
            loss = case.loss(run, found.hosts[-1]) if case.loss else None
        seconds = run.seconds
        seen = run_again(found, case.place)
    return Measured(seconds, seen.seconds, loss, differences(plain, seen), seen)
