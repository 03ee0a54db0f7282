"""What a run can be short of, and at which of its moments."""

import resource
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from faults.shortages import MOMENTS, Process, Shortage
from faults.small_disk import NotPossibleError, close_to_writing, fill, free, open_to_writing

_PAGE = resource.getpagesize()


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
    # What the run says goes into a file as well.
    kilobytes = [("the start", 8), ("the start", 1000), ("MLflow's database", 64)]
    kilobytes += [("a teacher", 64), ("a checkpoint", 20), ("the report", 30)]
    return [
        Shortage(
            f"{most} KB at {moment}", moment, _limit(resource.RLIMIT_FSIZE, lambda _, most=most: most << 10)
        )
        for moment, most in kilobytes
    ]


def little_memory() -> list[Shortage]:
    """Return limits of the address space: absolute ones from the start, later a little more than is in use."""
    # CPython 3.11 waits for ever for a thread that dies of it while it starts, so those for the stages are let start.
    megabytes = [("tokens", 300)]
    megabytes += [(moment, 0) for moment in ("a teacher", "a checkpoint", "teacher states", "the report")]
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
        if not hasattr(resource, "prlimit"):
            raise NotPossibleError("no process can set another's limits")
        # Of the run alone: Prefect's server, once it is started, keeps what it has.
        with suppress(ProcessLookupError):
            limit = most(process)
            resource.prlimit(process.pid, kind, (limit, limit))

    return take


def _address_space(process: Process) -> int:
    return int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[0]) * _PAGE


def _open_files(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


SHORTAGES: Mapping[str, Sequence[Shortage]] = {
    "a full disk": full_disks(),
    "a read-only disk": read_only_disks(),
    "a limit of file sizes": largest_files(),
    "little memory": little_memory(),
    "few file handles": few_handles(),
}
