"""The run over three hosts while one of them is lost in the middle of a stage, beside the run on one host."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.hosts import Host, network
from cluster.lab import findings, start_run, write_lab
from cluster.ray_cluster import Cluster, ray_cluster
from cluster.services import Services, services, wait_until
from cluster.watch import Event, read_events

_TIME_LIMIT = 2400.0  # seconds of a run


@dataclass(frozen=True)
class Lab:
    """Hosts with Ray, and one with the servers.

    Attributes:
        hosts: The first starts runs and has Ray's head; the others compute, one stage at a time each.
        server: The host of the servers.
        services: Where the servers are.
        cluster: Ray's address and the variables of its processes.
    """

    hosts: list[Host]
    server: Host
    services: Services
    cluster: Cluster


@dataclass
class Run:
    """A run over several hosts that is under way.

    Attributes:
        lab: Its hosts.
        process: The command.
        begin: When it was started, in seconds since 1970.
    """

    lab: Lab
    process: subprocess.Popen[bytes]
    begin: float

    @property
    def seconds(self) -> float:
        """How long it has taken, until its last line."""
        return (self.lab.hosts[0].folder / "run.log").stat().st_mtime - self.begin

    def events(self) -> list[Event]:
        """Return what has appeared in the place so far."""
        return read_events(self.lab.server.folder / "events")

    def wait_for(self, what: str, find: Callable[[list[Event]], Event | None]) -> Event:
        """Wait until something appears in the place, and return it.

        Raises:
            AssertionError: If the run ends before.
        """
        found: list[Event] = []

        def is_there() -> bool:
            found.extend(one for one in [find(self.events())] if one)
            assert found or self.process.poll() is None, (
                f"the run ended before: {what}; {self.output()[-3000:]}"
            )
            return bool(found)

        wait_until(is_there, _TIME_LIMIT, what)
        return found[0]

    def output(self) -> str:
        """Return what the run has said."""
        return (self.lab.hosts[0].folder / "run.log").read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True)
class Seen:
    """What was seen of a whole run.

    Attributes:
        seconds: How long it took.
        found: What it left, from `cluster.findings`.
    """

    seconds: float
    found: dict[str, Any]


@contextmanager
def lab(folder: Path, num_cpus: Sequence[int] = (0, 1, 1)) -> Iterator[Lab]:
    """Start hosts, servers and Ray.

    Args:
        folder: Made for the hosts.
        num_cpus: Of each host, as Ray counts them; each stage takes one.
    """
    names = [f"host{number}" for number in range(1, len(num_cpus) + 1)]
    with network(folder, [*names, "services"]) as (*hosts, server):
        write_lab(hosts[0].folder / "lab")
        (folder / "shared" / "pkd").mkdir()
        with services(server) as found, ray_cluster(hosts, num_cpus, found.client_environment) as cluster:
            yield Lab(hosts, server, found, cluster)


def run_on_one_host(folder: Path) -> Seen:
    """Run everything in one process of a host, without any server but its own."""
    with network(folder, ["alone"]) as (host,):
        write_lab(host.folder / "lab")
        begin = time.monotonic()
        _finish(host, start_run(host, "/tmp/lab", {}))
        return Seen(time.monotonic() - begin, findings(host, "/tmp/lab", {}))


@contextmanager
def run_over(lab: Lab, place: str) -> Iterator[Run]:
    """Start the run over the cluster from the first host, which alone has the raw data and the pretrained model.

    At the end of the body it is waited for.

    Raises:
        AssertionError: If it fails; with what it said.
    """
    host, variables = lab.hosts[0], lab.cluster.environment
    watch = [sys.executable, "-m", "cluster.watch", place, "/tmp/events"]
    with lab.server.start(watch, "watch.log", variables) as watcher:
        try:
            begin = time.time()
            process = start_run(host, place, variables, "--placement", lab.cluster.address)
            yield Run(lab, process, begin)
            _finish(host, process)
        finally:
            watcher.kill()


def run_again(lab: Lab, place: str) -> Seen:
    """Repeat the run, which must find nothing to compute, and return its time and what all runs have left."""
    begin = time.monotonic()
    variables = lab.cluster.environment
    _finish(lab.hosts[0], start_run(lab.hosts[0], place, variables, "--placement", lab.cluster.address))
    return Seen(time.monotonic() - begin, findings(lab.hosts[0], place, variables))


def _finish(host: Host, process: subprocess.Popen[bytes]) -> None:
    status = process.wait(timeout=_TIME_LIMIT)
    said = (host.folder / "run.log").read_text(encoding="utf-8", errors="replace")
    assert status == 0, f"the run ended with {status}: {said[-4000:]}"
