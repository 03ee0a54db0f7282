"""Lines of a stream whose writer may still be at work: they are read as they come."""

from collections import deque
from typing import Protocol

_BLOCK = 1 << 16


class Stream(Protocol):
    """A binary stream, such as `sys.stdin.buffer`."""

    def read1(self, size: int, /) -> bytes:
        """Return what is there, at most `size` bytes; wait only where nothing is there. Nothing is the end."""


class ArrivingLines:
    """Gives the lines of a stream, and says whether the next one is here already.

    Args:
        stream: What to read.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._begun: list[bytes] = []

    @property
    def may_wait(self) -> bool:
        """Whether `readline` would have to ask the stream for more."""
        return not self._lines

    def readline(self, limit: int, /) -> bytes:
        """Return the next line with its end, or what is there of a longer one than `limit`; nothing at the end."""
        while not self._lines:
            block = self._stream.read1(_BLOCK)
            first, *others = block.split(b"\n")
            self._begun.append(first)
            if others:
                self._lines.append(b"".join(self._begun) + b"\n")
                self._lines.extend(line + b"\n" for line in others[:-1])
                self._begun = [others[-1]]
            elif not block or sum(map(len, self._begun)) >= limit:
                line, self._begun = b"".join(self._begun), []
                return line
        return self._lines.popleft()
