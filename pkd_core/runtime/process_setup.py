"""What belongs to the whole process: allocator, arithmetic on GPUs, threads, and how much libraries write.

Nothing else in pkd_core changes these; whoever owns the process calls `configure_process` once.
"""

import ctypes
import os
import sys

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_GIBIBYTE = 1 << 30


def configure_process(device: str = "auto", max_concurrent_runs: int = 1) -> None:
    """Set up a process that belongs to pkd: the command line, a deployment's run, a benchmark.

    Call it early: threads that exist before keep a heap of their own.

    Args:
        device: What the process computes on.
        max_concurrent_runs: How many processes share the device; a CPU's cores are divided among them, unless
            OMP_NUM_THREADS is set.
    """
    _keep_freed_memory()
    import torch
    from transformers.utils import logging as transformers_logging

    # On a GPU, float32 products run in TF32; a CPU ignores it.
    torch.backends.cuda.matmul.allow_tf32 = True
    on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    if max_concurrent_runs > 1 and on_cpu and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // max_concurrent_runs))
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
