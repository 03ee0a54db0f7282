"""The number of CPU threads that torch computes with: sums depend on it in their last bits."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def computing_with(num_threads: int | None) -> Iterator[None]:
    """Let torch compute with so many threads while the body runs; with None, change nothing."""
    if num_threads is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
