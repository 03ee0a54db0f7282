"""What `pkd up` writes down about its processes, so that later commands find it, or what is left of it."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pkd_core.store.atomic import atomic_write_text
from pkd_core.store.os_errors import file_errors


@dataclass(frozen=True)
class ListedProcess:
    """A process in the system's list: its id, the group that it is in, its start as text, and its command line."""

    pid: int
    group: int
    since: str
    command: str


@dataclass(frozen=True)
class UpRecord:
    """A started `pkd up`.

    Attributes:
        pid: Its process.
        command: Its command line.
        prefect_api: The address of its Prefect server's API.
        services: The command line of each service's process group, by the group's id.
        ports: The group of the service on each port; JSON's keys are strings.
    """

    pid: int
    command: str
    prefect_api: str
    services: Mapping[str, str]
    ports: Mapping[str, int]

    def is_running(self) -> bool:
        """Return whether it still runs: other processes get its id later."""
        return any(self._is_own(one) for one in _list_processes())

    def holder_of(self, port: int) -> str | None:
        """Name the process that uses a port, and the command that ends it; None if it is none of this record's."""
        group = self.ports.get(str(port))
        command = self.services.get(str(group), "")
        processes = list(_list_processes())
        if group is not None and any(self._is_own(one) for one in processes):
            (one,) = (one for one in processes if self._is_own(one))
            return f"by `pkd up` (process {one.pid}, since {one.since}); end it with: kill {one.pid}"
        for one in processes:
            # The supervisor's command line ends in that of its service.
            if one.group == group and command.endswith(one.command):
                return (
                    f"by what an earlier `pkd up` left (process {one.pid}, since {one.since}: {one.command}); "
                    f"end it with: kill -- -{group}"
                )
        return None

    def _is_own(self, process: ListedProcess) -> bool:
        return process.pid == self.pid and process.command == self.command


def read_record(workspace: Path) -> UpRecord | None:
    """Return what the latest `pkd up` of a workspace wrote down, or None."""
    try:
        return UpRecord(**json.loads(_path(workspace).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_record(
    workspace: Path, prefect_api: str, services: Mapping[int, str], ports: Mapping[int, int]
) -> None:
    """Write down that this process is a `pkd up`.

    Args:
        workspace: Its workspace.
        prefect_api: The address of its Prefect server's API.
        services: The command line of each service's process group, by the group's id.
        ports: The group of the service on each port.

    Raises:
        StoreError: The file cannot be written.
    """
    pid = os.getpid()
    command = next((one.command for one in _list_processes() if one.pid == pid), "")
    record = UpRecord(
        pid,
        command,
        prefect_api,
        {str(group): line for group, line in services.items()},
        {str(port): group for port, group in ports.items()},
    )
    with file_errors("write", _path(workspace)):
        atomic_write_text(_path(workspace), json.dumps(asdict(record), indent=2))


def remove_record(workspace: Path) -> None:
    """Remove what this process wrote down; another `pkd up` may have replaced it."""
    record = read_record(workspace)
    if record is not None and record.pid == os.getpid():
        _path(workspace).unlink(missing_ok=True)


def _path(workspace: Path) -> Path:
    return workspace.resolve() / "artifacts" / "up.json"


def _list_processes() -> Iterator[ListedProcess]:
    """Yield every process that `ps` lists; none where there is no `ps`."""
    columns = ("pid=", "pgid=", "lstart=", "args=")
    options = [word for column in columns for word in ("-o", column)]
    try:
        listed = subprocess.run(
            ["ps", "-ww", "-A", *options],
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | {"LC_ALL": "C"},
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return
    for line in listed.splitlines():
        # The start has five fields, such as "Mon Sep  1 09:15:00 2025".
        fields = line.split(maxsplit=7)
        if len(fields) == 8:
            yield ListedProcess(int(fields[0]), int(fields[1]), " ".join(fields[2:7]), fields[7].strip())
