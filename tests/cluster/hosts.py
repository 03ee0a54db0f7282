"""Hosts of one network on this machine: each has its own network, processes, host name, /tmp and home folder.

They are namespaces of the kernel (Linux, as root). Nothing is left of them when their processes have ended, and these
end with the process that made them, however it ends.
"""

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]
_NETWORK = "10.77.0"
_PROGRAMS = ("ip", "mount", "nsenter", "setpriv", "ss", "unshare")
# Its process 1: it waits for the children of others, as a machine's does.
_STAY = "echo ready; while :; do sleep 3600; done"
_ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HOME": "/tmp/home",
    "LANG": "C.UTF-8",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OMP_NUM_THREADS": "1",
    "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PYTHONPATH": f"{_REPOSITORY}:{_REPOSITORY / 'tests'}",
    "TOKENIZERS_PARALLELISM": "false",
}


def missing_for_hosts() -> str:
    """Return what this machine lacks for hosts, in a few words; empty if nothing."""
    if sys.platform != "linux":
        return "Linux"
    if os.geteuid() != 0:
        return "root"
    if lacking := [name for name in _PROGRAMS if shutil.which(name) is None]:
        return ", ".join(lacking)
    if _REPOSITORY.is_relative_to("/tmp"):
        return "a clone outside /tmp, which each host has for itself"
    tried = subprocess.run(["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "true"], check=False)
    return "permission to make namespaces" if tried.returncode else ""


@dataclass(frozen=True)
class Host:
    """A host.

    Attributes:
        name: Its host name; the hosts know each other's.
        address: Its IPv4 address.
        folder: What it sees as /tmp. All hosts of a network see one folder as /tmp/shared.
        first_process: Its process 1, by its number outside.
        switch: Process 1 of the namespace that holds the network's bridge.
    """

    name: str
    address: str
    folder: Path
    first_process: int
    switch: int

    def start(
        self, arguments: Sequence[str], output: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program on the host, in its /tmp; it is killed with the process that is returned.

        Args:
            arguments: Program and arguments.
            output: Name of the file in the host's folder to which both its outputs are added.
            environment: Added to the host's variables; nothing else of this process's variables is passed on.
        """
        with (self.folder / output).open("ab") as file:
            return subprocess.Popen(
                [*_enter(self.first_process), *arguments],
                env=_ENVIRONMENT | dict(environment or {}),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None, timeout: float = 120
    ) -> str:
        """Run a program on the host, and return its output.

        Raises:
            AssertionError: If it fails; with the end of its output.
        """
        ended = subprocess.run(
            [*_enter(self.first_process), *arguments],
            check=False,
            env=_ENVIRONMENT | dict(environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        assert ended.returncode == 0, (
            f"{self.name}: {arguments[0]} ended with {ended.returncode}: {ended.stdout[-3000:]}"
        )
        return ended.stdout

    def processes(self, part: str = "") -> list[int]:
        """Return its processes whose command has a part, by their numbers outside, without its process 1."""
        space = Path(f"/proc/{self.first_process}/ns/pid").readlink()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                same = (folder / "ns" / "pid").readlink() == space
            except OSError:  # it has ended
                continue
            if same and part in command and int(folder.name) != self.first_process:
                found.append(int(folder.name))
        return found

    def kill(self, part: str, signal_number: int = signal.SIGKILL) -> int:
        """Send a signal to the processes whose command has a part, and return their number."""
        found = self.processes(part)
        for process in found:
            os.kill(process, signal_number)
        return len(found)

    def cut(self) -> None:
        """Cut the host off, as a broken switch does: its packets are lost in silence, and its link seems up."""
        _ip(self.switch, "link", "set", self.name, "nomaster")

    def rejoin(self) -> None:
        """Undo `cut`."""
        _ip(self.switch, "link", "set", self.name, "master", "bridge")

    def freeze(self) -> None:
        """Stop every process and the network, as a paused virtual machine or one whose shared folder hangs."""
        self.cut()
        self.kill("", signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self.kill("", signal.SIGCONT)
        self.rejoin()


@contextmanager
def network(folder: Path, names: Sequence[str]) -> Iterator[list[Host]]:
    """Make hosts on one network that reaches nothing else, and yield them; at the end they are powered off.

    Args:
        folder: Made for the hosts: what each sees as /tmp, and `shared`.
        names: Of the hosts, at most 15 letters and digits each.
    """
    shared = folder / "shared"
    shared.mkdir(parents=True)
    addresses = {name: f"{_NETWORK}.{number}" for number, name in enumerate(names, 11)}
    known = folder / "known-hosts"
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in addresses.items())]
    known.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with ExitStack() as stack:
        switch = stack.enter_context(_namespaces("hostname switch"))
        _ip(switch, "link", "add", "bridge", "type", "bridge")
        _ip(switch, "link", "set", "bridge", "up")
        hosts = []
        for name, address in addresses.items():
            root = folder / name
            (root / "shared").mkdir(parents=True)
            (root / "home").mkdir()
            # By this number a program tells whether two processes are on one machine.
            (root / "boot-id").write_text(f"{uuid.uuid4()}\n", encoding="ascii")
            mounts = {known: "/etc/hosts", root / "boot-id": "/proc/sys/kernel/random/boot_id"}
            mounts |= {shared: f"{root}/shared", root: "/tmp"}
            lines = [f"mount --rbind '{source}' '{target}'" for source, target in mounts.items()]
            setup = " && ".join([f"hostname {name}", *lines, "cd /tmp"])
            first = stack.enter_context(_namespaces(setup))
            _ip(switch, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(first))
            _ip(switch, "link", "set", name, "master", "bridge", "up")
            _ip(first, "address", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip(first, "link", "set", device, "up")
            hosts.append(Host(name, address, root, first, switch))
        yield hosts


@contextmanager
def _namespaces(setup: str) -> Iterator[int]:
    """Make new namespaces, run a shell's line in them, and yield their process 1; all in them is killed at the end."""
    arguments = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--uts", "--mount", "--pid", "--fork"]
    arguments += ["--kill-child", "--mount-proc", "bash", "-c", f"{setup} && {{ {_STAY}; }}"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", f"namespaces could not be made: {setup}"
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            yield int(children.read_text(encoding="ascii"))
        finally:
            process.kill()


def _enter(first_process: int) -> list[str]:
    enter = ["nsenter", "--target", str(first_process), "--mount", "--uts", "--net", "--pid", "--wdns=/tmp"]
    return [*enter, "setpriv", "--pdeathsig", "KILL"]


def _ip(namespace: int, *arguments: str) -> None:
    subprocess.run(["nsenter", "--target", str(namespace), "--net", "ip", *arguments], check=True)
