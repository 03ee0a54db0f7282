"""A full or read-only disk, too little memory, too few file handles: a sentence, then the undisturbed result."""

import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from faults.small_disk import NotPossibleError, small_disk
from faults.tally import Tally
from faults.workspaces import Result, finish, kill, make_workspace, result, said_by, start
from pkd_core.store.scan import verify_all
from pkd_core.store.stage_store import StageStatus

_SECONDS = 150
_PREFECTS = ".+ prefect - Stopping temporary server .+"
_LIBRARYS = r"\n.*[Mm]emory alloc.*\n\Z"
_OUR_FRAME = r'File "[^"]*/(pkd_core|tasks|flows)/\w+(/\w+)*\.py", line'
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
        may_abort: Whether libraries may end the process, with a signal, as the system itself does when memory is short,
            or with last words of their own that tell of memory, as OpenBLAS does; or may have errors that do not tell
            what they lacked.
    """

    name: str
    moment: str
    take: Callable[[Path, Process], None]
    give_back: Callable[[Path], None] = lambda root: None
    needs_disk: bool = False
    may_abort: bool = False


def run_short(
    root: Path, groups: Mapping[str, Sequence[Shortage]], say: Callable[[str], None]
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
                say(f"lost: {', '.join(wrong[:3])}")
        tallies.append(tally)
    return tallies


def _faults_of(shortage: Shortage, root: Path, model: Path, expected: Result) -> list[str]:
    """Return what was not as it should be, of the run in need and the one after it."""
    process = start(root, model)
    try:
        if not _wait_until(MOMENTS[shortage.moment], root, process):
            return ["its moment never came"]
        shortage.take(root, process)
        status = _wait(process)
    finally:
        kill(process)
    said = said_by(root).read_text(encoding="utf-8", errors="replace")
    wrong = _faults_of_ending(status, said, shortage.may_abort)
    wrong += [
        f"{one.folder} damaged" for one in verify_all(root) if one.inspection.status is not StageStatus.DONE
    ]
    shortage.give_back(root)
    try:
        finish(root, model)
    except AssertionError as error:
        return [*wrong, f"run again, it failed with {str(error)[-300:]!r}"]
    return wrong + expected.differences(result(root))


def _faults_of_ending(status: int | None, said: str, may_abort: bool) -> list[str]:
    if status is None:
        return [f"it hung for {_SECONDS} s"]
    # It may well have done without what it was short of; whether it did shows in its result.
    if status == 0 or (may_abort and (status < 0 or re.search(_LIBRARYS, said))):
        return []
    wrong = [f"it ended with status {status}"] if status < 0 else []
    if not re.search(rf"^pkd: .+\.\n({_PREFECTS}\n)?\Z", said, re.MULTILINE):
        wrong.append("its last words were no sentence")
    # Prefect's own are not ours to keep back.
    if re.search(_OUR_FRAME, said) and not may_abort:
        wrong.append("it showed a traceback through our code")
    return wrong


def _wait_until(moment: str, root: Path, process: Process) -> bool:
    deadline = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if any(root.glob(moment)):
            return True
        time.sleep(0.002)
    return False


def _wait(process: Process) -> int | None:
    """Return the status of a process that ends by itself, else None."""
    try:
        return process.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        return None
