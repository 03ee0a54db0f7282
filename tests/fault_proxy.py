"""A proxy that cuts, holds up and repeats the requests to a server by a seeded schedule, and counts what it did."""

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Fault(Enum):
    """What happens to one request."""

    CUT_BEFORE = "cut before the server acted"
    CUT_REQUEST = "cut in the middle of the request"
    CUT_AFTER = "cut after the server acted (lost answer)"
    CUT_ANSWER = "cut in the middle of the answer"
    SLOW = "held up"
    TWICE = "sent twice"


ALL_FAULTS = tuple(Fault)


@dataclass
class Schedule:
    """Which request meets which fault: the given ones first, then each with a probability.

    Attributes:
        seed: Of the random choices.
        rate: The part of requests that meet a fault.
        faults: What they are chosen from.
        first: The faults of the first requests; None for none.
        counts: How often each happened, and "none" the requests without a fault.
    """

    seed: int = 0
    rate: float = 0.0
    faults: Sequence[Fault] = ALL_FAULTS
    first: Sequence[Fault | None] = ()
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._first = iter(self.first)
        self._lock = threading.Lock()

    def draw(self) -> Fault | None:
        with self._lock:
            try:
                fault = next(self._first)
            except StopIteration:
                is_fault = self._random.random() < self.rate
                fault = self._random.choice(self.faults) if is_fault else None
            self.counts[fault.value if fault else "none"] += 1
            return fault


@contextmanager
def fault_proxy(endpoint: str, schedule: Schedule) -> Iterator[str]:
    """Yield the address of a proxy before a server at http://host:port."""
    server = _Server(endpoint, schedule)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def __init__(self, endpoint: str, schedule: Schedule) -> None:
        url = urlsplit(endpoint)
        assert url.hostname
        assert url.port
        self.schedule, self.target = schedule, (url.hostname, url.port)
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        pass  # a client that was cut off, or ended


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"

    def handle_request(self) -> None:
        fault, num_bytes = self.server.schedule.draw(), int(self.headers["Content-Length"] or 0)
        if fault is Fault.CUT_REQUEST:
            self.rfile.read(num_bytes // 2)
            return self._cut()
        content = self.rfile.read(num_bytes)
        if fault is Fault.CUT_BEFORE:
            return self._cut()
        if fault is Fault.SLOW:
            time.sleep(0.2)
        try:
            status, headers, answer = self._forward(content)
            if fault is Fault.TWICE:
                status, headers, answer = self._forward(content)
        except (OSError, HTTPException):
            return self._cut()
        if fault is Fault.CUT_AFTER:
            return self._cut()
        self._answer(status, headers, answer, is_whole=fault is not Fault.CUT_ANSWER)
        return None

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_request

    def _forward(self, content: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection(*self.server.target, timeout=60)
        try:
            connection.request(self.command, self.path, content, dict(self.headers.items()))
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], answer: bytes, is_whole: bool) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = {name.lower(): value for name, value in headers}.get("content-length")
        self.send_header("Content-Length", length or str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer if is_whole else answer[: len(answer) // 2])
        if not is_whole:
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass
