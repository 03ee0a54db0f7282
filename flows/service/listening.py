"""Where servers listen, and under which names they answer: by default this machine alone reaches them."""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from pkd_core.errors import ConfigError, quoted

LOOPBACK = ("127.0.0.1", "localhost")
_EVERY_ADDRESS = "0.0.0.0"
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")


@dataclass(frozen=True)
class Listening:
    """Where servers listen.

    Attributes:
        host: The IPv4 address; 0.0.0.0 for all that the machine has.
        names: By which others reach it, where that is not the address.
    """

    host: str = LOOPBACK[0]
    names: tuple[str, ...] = ()

    @property
    def is_for_others(self) -> bool:
        """Whether other machines reach it."""
        return not IPv4Address(self.host).is_loopback

    @property
    def from_here(self) -> str:
        """The host by which processes of this machine reach it."""
        return LOOPBACK[0] if self.host == _EVERY_ADDRESS else self.host

    @property
    def from_elsewhere(self) -> str:
        """The host by which others reach it."""
        return self.names[0] if self.names else self.from_here

    def origins(self, port: int) -> str:
        """Return the origins of a server's own pages, separated by commas as Prefect and MLflow read them."""
        return ",".join(f"http://{host}:{port}" for host in self._hosts())

    def patterns(self) -> str:
        """Return what the header Host may be, separated by commas as MLflow reads it."""
        return ",".join(f"{host}:*" for host in self._hosts())

    def _hosts(self) -> tuple[str, ...]:
        own = LOOPBACK if self.from_here in LOOPBACK else (self.host,)
        return tuple(dict.fromkeys((*own, *self.names)))


HERE = Listening()


def listening_at(host: str, names: Sequence[str]) -> Listening:
    """Return where servers listen, as a user asks for it.

    Args:
        host: The address.
        names: By which others reach it, where that is not the address.

    Raises:
        ConfigError: The address is none of this machine, a name is none, or nobody could reach the servers by a name.
    """
    try:
        address = str(IPv4Address(host))
        with socket.socket() as probe:
            probe.bind((address, 0))
    except (AddressValueError, OSError):
        raise ConfigError(
            f"--host needs an IPv4 address of this machine, such as 127.0.0.1 or 10.0.0.1, got {quoted(host)}; "
            "correct it, and give the name that others use for this machine by --name."
        ) from None
    for name in names:
        if not _NAME.fullmatch(name.lower()):
            raise ConfigError(
                f"--name needs the name or address by which other machines reach this one, such as lab.example.org, "
                f"got {quoted(name)}; give it without http:// and without a port."
            )
    if address == _EVERY_ADDRESS and not names:
        raise ConfigError(
            "--host 0.0.0.0 listens on every address, and the servers answer under their own names only; name those "
            "with --name, such as --name lab.example.org."
        )
    return Listening(address, tuple(name.lower() for name in names))
