"""A full or read-only disk, too little memory, too few file handles: one sentence, and the next run finishes."""

import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from faults.outcome import Outcome
from faults.temporary_disk import NotPossibleError, temporary_disk
from faults.workspaces import Result, finish, kill, output_file, read_result, start, write_workspace
from pkd_core.store.scan import verify_all
from pkd_core.store.stage_store import StageStatus

_TIMEOUT_SECONDS = 150
_LIBRARY_OUT_OF_MEMORY = r"\n.*[Mm]emory alloc.*\n\Z"
_PKD_FRAME = r'File "[^"]*/(pkd_core|tasks|flows)/\w+(/\w+)*\.py", line'
# The moments of a run, each by the first file that the run writes then.
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
    """A resource that a run has too little of, from a given moment on.

    Attributes:
        name: For the table's details.
        moment: Key of MOMENTS.
        inject: Limits the resource for a workspace, or for the run's process.
        undo: Reverts it.
        needs_disk: Whether the workspace must be on its own disk.
        may_abort: Whether a library may end the process itself: with a signal, as the system does when memory is
            short, or with its own message about memory, as OpenBLAS does; or raise an error without the reason.
    """

    name: str
    moment: str
    inject: Callable[[Path, Process], None]
    undo: Callable[[Path], None] = lambda root: None
    needs_disk: bool = False
    may_abort: bool = False


def inject_shortages(
    root: Path, groups: Mapping[str, Sequence[Shortage]], log: Callable[[str], None] = lambda _: None
) -> list[Outcome]:
    """Inject each shortage into a new run, then run again without it, and compare with a run without faults.

    Args:
        root: An empty folder.
        groups: Shortages by the row of the table that counts them.
        log: Called with each line of progress.
    """
    model = root / "model"
    reference = write_workspace(root / "reference", model)
    finish(reference, model)
    expected = read_result(reference)
    outcomes = []
    for group, shortages in groups.items():
        outcome = Outcome(group)
        for number, shortage in enumerate(shortages):
            log(f"{group}: {shortage.name}")
            folder = root / f"{len(outcomes)}-{number}"
            try:
                with temporary_disk(folder) if shortage.needs_disk else nullcontext(folder) as workspace:
                    write_workspace(workspace, model)
                    failures = _failures(shortage, workspace, model, expected)
            except NotPossibleError as error:
                outcome.details += f" not possible here: {shortage.name} ({error});"
                continue
            outcome.injected += 1
            if failures:
                reasons = ", ".join(failures[:3])
                outcome.add_lost(f"{shortage.name}: {reasons}")
                log(f"lost: {reasons}")
        outcomes.append(outcome)
    return outcomes


def _failures(shortage: Shortage, root: Path, model: Path, expected: Result) -> list[str]:
    """Return what was wrong with the run under the shortage, and with the run after it."""
    process = start(root, model)
    try:
        if not _reaches(MOMENTS[shortage.moment], root, process):
            return [f"the run never reached {shortage.moment}"]
        shortage.inject(root, process)
        status = _wait(process)
    finally:
        kill(process)
    output = output_file(root).read_text(encoding="utf-8", errors="replace")
    failures = _exit_failures(status, output, shortage.may_abort)
    failures += [
        f"{stage.folder} damaged"
        for stage in verify_all(root)
        if stage.inspection.status is not StageStatus.DONE
    ]
    shortage.undo(root)
    try:
        finish(root, model)
    except AssertionError as error:
        return [*failures, f"the next run failed with {str(error)[-300:]!r}"]
    return failures + expected.differences(read_result(root))


def _exit_failures(status: int | None, output: str, may_abort: bool) -> list[str]:
    if status is None:
        return [f"the run hung for {_TIMEOUT_SECONDS} s"]
    # The run may not have needed the resource; its result is compared below.
    if status == 0 or (may_abort and (status < 0 or re.search(_LIBRARY_OUT_OF_MEMORY, output))):
        return []
    failures = [f"the run ended with status {status}"] if status < 0 else []
    if not re.search(r"^pkd: .+\.\n\Z", output, re.MULTILINE):
        failures.append(f"its output ended with {output[-200:]!r} instead of one sentence of pkd")
    # Prefect may print its own tracebacks.
    if re.search(_PKD_FRAME, output) and not may_abort:
        failures.append("it printed a traceback through pkd's code")
    return failures


def _reaches(moment: str, root: Path, process: Process) -> bool:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if any(root.glob(moment)):
            return True
        time.sleep(0.002)
    return False


def _wait(process: Process) -> int | None:
    """Return the exit status of a process, or None if it does not exit in time."""
    try:
        return process.wait(_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return None
