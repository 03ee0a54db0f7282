"""A full or read-only disk, too little memory, too few file handles: a sentence, then the undisturbed result."""

import re
import resource
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from faults.small_disk import NotPossibleError, close_to_writing, fill, free, open_to_writing, small_disk
from faults.tally import Tally
from faults.workspaces import Result, finish, kill, make_workspace, result, said_by, start
from pkd_core.store.scan import verify_all
from pkd_core.store.stage_store import StageStatus

_SECONDS = 150
_PAGE = resource.getpagesize()
_TRACEBACK = "Traceback (most recent call last)"
# Where a run is, by what it has just begun to write.
MOMENTS = {
    "the start": "data_raw",
    "Prefect's database": "artifacts/prefect/prefect.db",
    "tokens": "data_feat/Tiny/.work/tokens-*",
    "MLflow's database": "artifacts/mlflow.lock",
    "a teacher": "artifacts/Tiny/.work/teacher-*",
    "a checkpoint": "artifacts/Tiny/.work/*/checkpoint",
    "weights": "artifacts/Tiny/.work/*/best.part",
    "teacher states": "data_feat/Tiny/.work/teacher-states-*",
    "a student": "artifacts/Tiny/.work/kd-*",
    "an evaluation": "artifacts/Tiny/.work/evaluation-*",
    "the report": "artifacts/reports/.work/report-*",
}
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Shortage:
    """What a run is to be short of, and from when on.

    Attributes:
        name: For the table's details.
        moment: Key of MOMENTS.
        take: Takes something from the workspace or the process of the run.
        give_back: Undoes it.
        needs_disk: Whether the workspace must be on a disk of its own.
        may_abort: Whether libraries may end the process with a signal, as the system itself does when memory is short.
    """

    name: str
    moment: str
    take: Callable[[Path, Process], None]
    give_back: Callable[[Path], None] = lambda root: None
    needs_disk: bool = False
    may_abort: bool = False


def run_short(
    root: Path, groups: Mapping[str, Iterable[Shortage]], say: Callable[[str], None]
) -> list[Tally]:
    """Do each shortage to a run of its own, then run again without it and compare with an undisturbed run.

    Args:
        root: An empty folder.
        groups: Shortages by the row of the table that counts them.
        say: Is told of progress.
    """
    model = root / "model"
    undisturbed = make_workspace(root / "undisturbed", model)
    finish(undisturbed, model)
    expected = result(undisturbed)
    tallies = []
    for group, shortages in groups.items():
        tally = Tally(group)
        for number, shortage in enumerate(shortages):
            say(f"{group}: {shortage.name}")
            place = root / f"{len(tallies)}-{number}"
            try:
                with small_disk(place) if shortage.needs_disk else nullcontext(place) as workspace:
                    make_workspace(workspace, model)
                    wrong = _faults_of(shortage, workspace, model, expected)
            except NotPossibleError as error:
                tally.details += f" not possible here: {shortage.name} ({error});"
                continue
            tally.injected += 1
            if wrong:
                tally.lose(f"{shortage.name}: {', '.join(wrong[:3])}")
        tallies.append(tally)
    return tallies


def _faults_of(shortage: Shortage, root: Path, model: Path, expected: Result) -> list[str]:
    """Return what was not as it should be, of the run in need and the one after it."""
    process = start(root, model)
    if not _wait_until(MOMENTS[shortage.moment], root, process):
        kill(process)
        return ["its moment never came"]
    shortage.take(root, process)
    status = _wait(process)
    wrong = [
        f"{one.folder} is damaged"
        for one in verify_all(root)
        if one.inspection.status is not StageStatus.DONE
    ]
    wrong += _faults_of_ending(
        status, said_by(root).read_text(encoding="utf-8", errors="replace"), shortage.may_abort
    )
    shortage.give_back(root)
    finish(root, model)
    return wrong + expected.differences(result(root))


def _faults_of_ending(status: int | None, said: str, may_abort: bool) -> list[str]:
    if status is None:
        return [f"it hung for {_SECONDS} s"]
    # It may well have done without what it was short of; whether it did shows in its result.
    if status == 0 or (status < 0 and may_abort):
        return []
    wrong = [f"it ended with status {status}"] if status < 0 else []
    if not re.search(
        r"^pkd: .+\.\n([^\n]*prefect - Stopping temporary server[^\n]*\n)?\Z", said, re.MULTILINE
    ):
        wrong.append("its last words were no sentence")
    if _TRACEBACK in said:
        wrong.append("it showed a traceback")
    return wrong


def _wait_until(moment: str, root: Path, process: Process) -> bool:
    deadline = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if any(root.glob(moment)):
            return True
        time.sleep(0.002)
    return False


def _wait(process: Process) -> int | None:
    """Return the status of a process that ends by itself, else None; whatever it started is ended as well."""
    try:
        return process.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        kill(process)


def full_disks() -> list[Shortage]:
    """Return a disk that is full at each moment, and ones with some room left."""
    left = [*((moment, 0) for moment in MOMENTS), ("the start", 1 << 20), ("the start", 20 << 20)]
    left += [(moment, 300 << 10) for moment in ("a teacher", "a checkpoint", "a student")]
    return [
        Shortage(
            f"{leave >> 10} KB left at {moment}",
            moment,
            take=lambda root, _, leave=leave: fill(root, leave),
            give_back=free,
            needs_disk=True,
        )
        for moment, leave in left
    ]


def read_only_disks() -> list[Shortage]:
    """Return a disk that may not be written to."""
    # Once a run has files open for writing there, the system does not let the disk be closed to it.
    return [
        Shortage(
            "read-only at the start",
            "the start",
            take=lambda root, _: close_to_writing(root),
            give_back=open_to_writing,
            needs_disk=True,
        )
    ]


def largest_files() -> list[Shortage]:
    """Return limits of a file's size, as quotas have them; at later moments than the start, the server has none."""
    kilobytes = [("the start", 0), ("the start", 1000), ("tokens", 1), ("MLflow's database", 64)]
    kilobytes += [("a teacher", 64), ("a checkpoint", 20), ("the report", 30)]
    return [
        Shortage(
            f"{most} KB at {moment}", moment, _limit(resource.RLIMIT_FSIZE, lambda _, most=most: most << 10)
        )
        for moment, most in kilobytes
    ]


def little_memory() -> list[Shortage]:
    """Return limits of the address space: absolute ones from the start, later a little more than is in use."""
    megabytes = [
        (moment, 0) for moment in ("tokens", "a teacher", "a checkpoint", "teacher states", "the report")
    ]
    megabytes += [("a teacher", 30), ("the start", 300), ("the start", 1000), ("the start", 3000)]
    return [
        Shortage(
            f"{more} MB more at {moment}",
            moment,
            _limit(resource.RLIMIT_AS, lambda process, more=more: _address_space(process) + (more << 20)),
            may_abort=True,
        )
        for moment, more in megabytes
    ]


def few_handles() -> list[Shortage]:
    """Return limits of open files: a few more than are open."""
    handles = [(moment, 0) for moment in ("tokens", "a teacher", "a checkpoint", "the report")]
    handles += [("a teacher", 3), ("teacher states", 1), ("the start", 16), ("the start", 60)]
    return [
        Shortage(
            f"{more} more at {moment}",
            moment,
            _limit(resource.RLIMIT_NOFILE, lambda process, more=more: _open_files(process) + more),
        )
        for moment, more in handles
    ]


def _limit(kind: int, most: Callable[[Process], int]) -> Callable[[Path, Process], None]:
    def take(_: Path, process: Process) -> None:
        # Of the run alone: Prefect's server, once it is started, keeps what it has.
        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, kind, (most(process), most(process)))

    return take


def _address_space(process: Process) -> int:
    return int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[0]) * _PAGE


def _open_files(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
