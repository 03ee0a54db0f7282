"""Calls of the operating system that fail by a seeded schedule: before they act, or after it (a lost answer)."""

import errno
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

# What an NFS client answers to a second try after the first one's answer was lost.
_SECOND_ANSWERS = {"link": errno.EEXIST, "replace": errno.ENOENT, "rename": errno.ENOENT}
_CALLS = ("link", "replace", "rename", "unlink", "fsync", "mkdir")


@contextmanager
def faulty_disk(seed: int, rate: float, below: str = "/") -> Iterator[Counter[str]]:
    """Let a part of the calls that change folders below one fail in this process; yield what has failed how often."""
    counts: Counter[str] = Counter()
    chance, lock = random.Random(seed), threading.Lock()

    def faulty(name: str) -> Callable[..., Any]:
        call = getattr(os, name)
        answers = [errno.EIO] if name not in _SECOND_ANSWERS else [errno.EIO, _SECOND_ANSWERS[name]]

        def act(*args: Any, **kwargs: Any) -> Any:
            target = Path(f"/proc/self/fd/{args[0]}").readlink() if name == "fsync" else args[0]
            if not str(target).startswith(below):
                return call(*args, **kwargs)
            with lock:
                is_fault, is_before = chance.random() < rate, chance.random() < 0.5
                number = errno.EIO if is_before else chance.choice(answers)
                counts[f"{name} {'before' if is_before else 'after'} the act" if is_fault else "none"] += 1
            if is_fault and is_before:
                raise OSError(number, os.strerror(number))
            result = call(*args, **kwargs)
            if is_fault:
                raise OSError(number, os.strerror(number))
            return result

        return act

    with patch.multiple(os, **{name: faulty(name) for name in _CALLS}):
        yield counts
