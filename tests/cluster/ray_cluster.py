"""Ray over several hosts, with the settings by which it notices a host that was cut off."""

import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from cluster.hosts import Host
from cluster.services import wait_until
from flows.placement.ray_process import EVERYWHERE

PORT = 6379
# By default the workers of a cut host end themselves after 60 s. Here they go on until they hear of their death.
_LONG_LIVED = {"RAY_gcs_rpc_server_reconnect_timeout_s": "900"}


@dataclass(frozen=True)
class Cluster:
    """Ray's address, and the variables that each of its processes and drivers needs."""

    address: str
    environment: Mapping[str, str] = field(repr=False)


@contextmanager
def ray_cluster(
    hosts: Sequence[Host], num_cpus: Sequence[int], environment: Mapping[str, str]
) -> Iterator[Cluster]:
    """Start Ray's head on the first host and a worker on each other, and yield the cluster when all are in it.

    Args:
        hosts: The hosts.
        num_cpus: Of each host, as Ray counts them; 0 where no task may run.
        environment: Variables that tasks find on every host, beside Ray's own.
    """
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    variables = {**environment, **EVERYWHERE, **_LONG_LIVED, **token}
    head = hosts[0]
    cluster = Cluster(f"{head.address}:{PORT}", variables)
    started = []
    try:
        started.append(start_node(head, num_cpus[0], head, variables))
        wait_until(lambda: num_nodes(head, cluster) == 1, 120, "Ray's head answers")
        for host, count in zip(hosts[1:], num_cpus[1:], strict=True):
            started.append(start_node(host, count, head, variables))
        wait_until(lambda: num_nodes(head, cluster) == len(hosts), 180, "every host is in Ray")
        yield cluster
    finally:
        for one in reversed(started):
            one.kill()
            one.wait()


def start_node(
    host: Host, num_cpus: int, head: Host, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start Ray on a host: its head, or a worker of the head on another."""
    role = ["--head", "--port", str(PORT), "--include-dashboard", "false", "--temp-dir", "/tmp/ray"]
    if host is not head:
        role = ["--address", f"{head.address}:{PORT}"]
    resources = ["--num-cpus", str(num_cpus), "--num-gpus", "0", "--object-store-memory", str(100 * 2**20)]
    where = ["--node-ip-address", host.address]
    start = shlex.join(["ray", "start", *role, *where, *resources, "--block"])
    # As a service manager would: Ray ends on a host that was cut off for a minute, and has to be started again.
    return host.start(["bash", "-c", f"while :; do {start}; sleep 2; done"], "ray.log", environment)


def num_nodes(head: Host, cluster: Cluster) -> int:
    """Return how many hosts Ray takes for alive; 0 if its head does not answer."""
    try:
        status = head.run(["ray", "status", "--address", cluster.address], cluster.environment)
    except AssertionError:
        return 0
    active = status.partition("Active:")[2].partition("Pending:")[0]
    return len(re.findall(r"node_[0-9a-f]{10}", active))
