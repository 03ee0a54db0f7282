"""What belongs to the whole process: allocator, arithmetic on GPUs, and how much libraries write.

Nothing else in pkd_core changes these; whoever owns the process calls `configure_process` once.
"""

import ctypes
import sys

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_GIBIBYTE = 1 << 30


def configure_process() -> None:
    """Set up a process that belongs to pkd: the command line, a deployment's run, a benchmark.

    Call it early: threads that exist before keep a heap of their own.
    """
    _keep_freed_memory()
    import torch
    from transformers.utils import logging as transformers_logging

    # On a GPU, float32 products run in TF32; a CPU ignores it.
    torch.backends.cuda.matmul.allow_tf32 = True
    # Its reports of newly initialised weights and its progress bars are noise between our own lines.
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def _keep_freed_memory() -> None:
    """Let glibc reuse blocks of up to 1 GiB instead of unmapping them; does nothing with other C libraries.

    A batch frees what the next one allocates, and the kernel clears every page that it maps anew: 10 to 20 % of a small
    student's step on a CPU, and of extraction. All threads share one heap, because the heaps of single threads hold
    64 MB at most and are unmapped when empty.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _GIBIBYTE)
        mallopt(_M_TRIM_THRESHOLD, _GIBIBYTE)
        mallopt(_M_ARENA_MAX, 1)
