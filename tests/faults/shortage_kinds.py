"""The resources that a run can have too little of, and at which of its moments."""

import resource
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from faults.shortages import MOMENTS, Process, Shortage
from faults.temporary_disk import NotPossibleError, fill, make_read_only, make_writable, remove_filler

_PAGE = resource.getpagesize()


def full_disks() -> list[Shortage]:
    """Return a disk that is full at each moment, and disks with little free space."""
    cases = [*((moment, 0) for moment in MOMENTS), ("the start", 1 << 20), ("the start", 20 << 20)]
    cases += [(moment, 300 << 10) for moment in ("a teacher", "a checkpoint", "a student")]
    return [
        Shortage(
            f"{free_bytes >> 10} KB free at {moment}",
            moment,
            inject=lambda root, _, free_bytes=free_bytes: fill(root, free_bytes),
            undo=remove_filler,
            needs_disk=True,
        )
        for moment, free_bytes in cases
    ]


def read_only_disks() -> list[Shortage]:
    """Return a read-only disk."""
    # Only at the start: the system does not remount a disk read-only while a run has files open for writing there.
    return [
        Shortage(
            "read-only at the start",
            "the start",
            inject=lambda root, _: make_read_only(root),
            undo=make_writable,
            needs_disk=True,
        )
    ]


def file_size_limits() -> list[Shortage]:
    """Return limits of a file's size, as quotas set them; after the start, Prefect's server has none."""
    # The run's output goes into a file too.
    cases = [("the start", 8), ("the start", 1000), ("MLflow's database", 64)]
    cases += [("a teacher", 64), ("a checkpoint", 20), ("the report", 30)]
    return [
        Shortage(
            f"{kilobytes} KB at {moment}",
            moment,
            _limit(resource.RLIMIT_FSIZE, lambda _, kilobytes=kilobytes: kilobytes << 10),
        )
        for moment, kilobytes in cases
    ]


def memory_limits() -> list[Shortage]:
    """Return limits of the address space: what is in use at the moment, and some megabytes."""
    # CPython 3.11 waits forever for a thread that runs out of memory at its start, so the stages can start theirs.
    cases = [("tokens", 300)]
    cases += [(moment, 0) for moment in ("a teacher", "a checkpoint", "teacher states", "the report")]
    cases += [("a teacher", 30), ("the start", 300), ("the start", 1000), ("the start", 3000)]
    return [
        Shortage(
            f"{megabytes} MB more at {moment}",
            moment,
            _limit(
                resource.RLIMIT_AS,
                lambda process, megabytes=megabytes: _address_space(process) + (megabytes << 20),
            ),
            may_abort=True,
        )
        for moment, megabytes in cases
    ]


def file_handle_limits() -> list[Shortage]:
    """Return limits of open files: those open at the moment, and a few more."""
    cases = [(moment, 0) for moment in ("tokens", "a teacher", "a checkpoint", "the report")]
    cases += [("a teacher", 3), ("teacher states", 1), ("the start", 16), ("the start", 60)]
    return [
        Shortage(
            f"{more} more at {moment}",
            moment,
            _limit(resource.RLIMIT_NOFILE, lambda process, more=more: _open_files(process) + more),
        )
        for moment, more in cases
    ]


def _limit(kind: int, limit_of: Callable[[Process], int]) -> Callable[[Path, Process], None]:
    def inject(_: Path, process: Process) -> None:
        if not hasattr(resource, "prlimit"):
            raise NotPossibleError("the system cannot set another process's limits")
        # Of the run's process only: a Prefect server that has started keeps its own limits.
        with suppress(ProcessLookupError):
            limit = limit_of(process)
            resource.prlimit(process.pid, kind, (limit, limit))

    return inject


def _address_space(process: Process) -> int:
    return int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[0]) * _PAGE


def _open_files(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


SHORTAGES: Mapping[str, Sequence[Shortage]] = {
    "a full disk": full_disks(),
    "a read-only disk": read_only_disks(),
    "a limit of file sizes": file_size_limits(),
    "little memory": memory_limits(),
    "few file handles": file_handle_limits(),
}
