"""Leases: who works on something, told to other machines by numbered objects; they save work and protect nothing.

Lease n is the object n below a prefix. Its holder alone rewrites it, three times a term, with a count. Who sees the
highest number unchanged for a whole term, by its own clock, creates the next: only one of several can. Who finds a
higher number than its own has lost its lease. The highest object stays, so no number is ever used twice.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pkd_core.errors import HeldError, LostError, StoreError
from pkd_core.places.first_writer import create_or_read
from pkd_core.places.objects import Objects

logger = logging.getLogger(__name__)

TERM = 30.0  # seconds
_LONGEST_PAUSE = 2.0  # seconds between two looks at the lease of another
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Clock:
    """The time by which a lease runs out, and how to let it pass; both in seconds."""

    now: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep


@dataclass
class Lease:
    """A lease that this process holds, or has lost.

    Attributes:
        objects: The place.
        prefix: What its leases' keys begin with; ends in "/".
        number: Its number.
        purpose: What it is for, such as "RTE teacher".
        holder: What others read of it: id, owner, host, pid, since and term.
        is_lost: Whether another process has taken over, as far as is known.
    """

    objects: Objects
    prefix: str
    number: int
    purpose: str
    holder: dict[str, Any]
    is_lost: bool = False
    _num_renewals: int = field(default=0, init=False)

    @property
    def key(self) -> str:
        """Its object."""
        return f"{self.prefix}{self.number}"

    def content(self, is_released: bool = False) -> bytes:
        """Return what its object holds now."""
        return json.dumps({**self.holder, "renewals": self._num_renewals, "released": is_released}).encode()

    def renew(self) -> None:
        """Show that the holder is alive, and find out whether another has taken over.

        Raises:
            StoreError: If the place cannot be reached.
        """
        self._num_renewals += 1
        self.objects.put(self.key, self.content())
        self.is_lost = _highest(self.objects, self.prefix) > self.number

    def check(self) -> None:
        """Raise LostError if another process has taken over: it is wasteful to go on."""
        if self.is_lost:
            raise LostError(
                f"{self.purpose}: another machine took over, because this one was not heard of for"
                f" {self.holder['term']:g} seconds; its result is used, run again to get it."
            )

    def release(self) -> None:
        """Let others in at once, and delete the leases before this one.

        Raises:
            StoreError: If the place cannot be reached.
        """
        if not self.is_lost:
            self.objects.put(self.key, self.content(is_released=True))
            for number in _numbers(self.objects, self.prefix):
                if number < self.number:
                    self.objects.delete(f"{self.prefix}{number}")


@contextmanager
def leased(
    objects: Objects, prefix: str, purpose: str, wait: bool = True, *, owner: str = "", term: float = TERM
) -> Iterator[Lease]:
    """Hold a lease while the body runs; a thread renews it.

    A lease can be lost while the body runs, so what two bodies write must not mix: see `Lease.check`.

    Args:
        objects: The place.
        prefix: What the leases' keys begin with; ends in "/".
        purpose: What it is for, such as "RTE teacher"; it appears in the log while waiting.
        wait: Whether to wait while another holds it.
        owner: Who takes over a lease of the same owner at once: see `local_owner`. Only one process may use it at a
            time, so hold a lock of the kernel around. "" for none.
        term: After how many seconds without a sign of life others may take over.

    Raises:
        HeldError: If another holds it, and `wait` is false.
        StoreError: If the place cannot be reached.
    """
    lease = acquire(objects, prefix, purpose, wait, owner=owner, term=term)
    has_ended = threading.Event()
    thread = threading.Thread(target=_keep, args=(lease, has_ended), name=f"lease {purpose}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        has_ended.set()
        thread.join()
        try:
            lease.release()
        except StoreError as error:
            logger.warning("%s: others wait for %g seconds, because %s", purpose, term, error)


def acquire(
    objects: Objects,
    prefix: str,
    purpose: str,
    wait: bool = True,
    *,
    owner: str = "",
    term: float = TERM,
    clock: Clock = Clock(),
) -> Lease:
    """Return a lease that nobody renews yet; see `leased` for the arguments and errors."""
    seen, since, has_logged = (0, b""), clock.now(), False
    while True:
        began = clock.now()
        number = _highest(objects, prefix)
        standing = objects.read(f"{prefix}{number}") if number else None
        content = standing[0] if standing else b""
        if (number, content) != seen:
            seen, since = (number, content), clock.now()
        holder = _parse(content)
        if number == 0 or _is_free(holder, owner) or began - since >= holder.get("term", term):
            lease = Lease(objects, prefix, number + 1, purpose, _new_holder(owner, term))
            if create_or_read(objects, lease.key, lease.content()) == lease.content():
                return lease
            continue
        if not wait:
            raise HeldError(
                f"{purpose} needs a lease that {_name(holder)} holds; run again when that one has ended."
            )
        if not has_logged:
            logger.info("%s: waits for %s", purpose, _name(holder))
            has_logged = True
        clock.pause(min(_LONGEST_PAUSE, term / 10))


def local_owner(folder: Path) -> str:
    """Return a name that a local folder has on this machine, until the machine is started again.

    Two machines differ also where they share the folder; two containers are one owner only where they share it on one
    machine, where the kernel's locks hold between them.
    """
    status = folder.stat()
    try:
        machine = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        machine = f"{socket.gethostname()} {uuid.getnode():x}"
    return f"{machine} {status.st_dev} {status.st_ino}"


def _keep(lease: Lease, has_ended: threading.Event) -> None:
    """Renew a lease until the body has ended or the lease is lost."""
    while not lease.is_lost and not has_ended.wait(lease.holder["term"] / 3):
        try:
            lease.renew()
        except StoreError as error:
            logger.warning("%s: the lease was not renewed: %s", lease.purpose, error)


def _numbers(objects: Objects, prefix: str) -> list[int]:
    names = (found.key.removeprefix(prefix) for found in objects.list(prefix))
    return [int(name) for name in names if name.isdecimal()]


def _highest(objects: Objects, prefix: str) -> int:
    return max(_numbers(objects, prefix), default=0)


def _new_holder(owner: str, term: float) -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "owner": owner,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "term": term,
    }


def _parse(content: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_free(holder: dict[str, Any], owner: str) -> bool:
    return holder.get("released") is True or (owner != "" and holder.get("owner") == owner)


def _name(holder: dict[str, Any]) -> str:
    if not {"pid", "host", "since"} <= holder.keys():
        return "another process"
    return f"process {holder['pid']} on {holder['host']} (since {holder['since']})"
