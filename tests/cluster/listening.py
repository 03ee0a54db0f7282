"""The addresses on which a host's processes accept connections."""

import re
from dataclasses import dataclass

from cluster.hosts import Host


@dataclass(frozen=True, order=True)
class Listener:
    """A process that accepts connections: its name, and the address and port that it is bound to."""

    program: str
    address: str
    port: int


def listeners(host: Host) -> list[Listener]:
    """Return what accepts TCP connections on a host, from `ss`."""
    found = set()
    for line in host.run(
        ["ss", "--listening", "--tcp", "--numeric", "--processes", "--no-header"]
    ).splitlines():
        address, _, port = line.split()[3].rpartition(":")
        program = re.search(r'users:\(\("([^"]*)"', line)
        found.add(Listener(program.group(1) if program else "?", address.strip("[]"), int(port)))
    return sorted(found)
