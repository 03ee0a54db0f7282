"""Where stages are computed: in the process of their run, by a Ray that it starts here, or on a Ray cluster."""

import re

from pkd_core.errors import ConfigError

THREADS = "threads"
RAY = "ray"
_CLUSTER = re.compile(r"(ray://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
# The indices of GPUs belong to one process: a worker sees only the GPU that it was given.
_ANY_GPU = ("auto", "cpu", "cuda", "cuda:0")


def checked_placement(placement: str) -> str:
    """Return a placement.

    Raises:
        ValueError: It is neither threads, ray nor the address of a cluster.
    """
    if placement not in (THREADS, RAY) and not _CLUSTER.fullmatch(placement):
        raise ValueError(f"expected {THREADS}, {RAY}, or a Ray cluster such as ray://10.0.0.5:10001")
    return placement


def is_cluster(placement: str) -> bool:
    """Return whether stages run on a cluster that is there already."""
    return placement not in (THREADS, RAY)


def host_of(placement: str) -> str:
    """Return the host of a cluster's address.

    >>> host_of("ray://10.0.0.5:10001")
    '10.0.0.5'
    """
    return placement.removeprefix("ray://").rpartition(":")[0].strip("[]")


def check_options_of_placement(placement: str, device: str, students_per_gpu: int) -> None:
    """Check that a run's options fit together.

    Raises:
        ConfigError: Ray is to compute on a GPU of a certain number, or students are to share one without Ray.
    """
    if placement != THREADS and device not in _ANY_GPU:
        raise ConfigError(
            f"with --placement {placement} each stage gets a GPU from Ray, and --device {device} names one; give "
            "--device auto, cpu or cuda, and choose GPUs by CUDA_VISIBLE_DEVICES."
        )
    if placement == THREADS and students_per_gpu > 1:
        raise ConfigError(
            f"--students-per-gpu {students_per_gpu} needs several processes, and --placement {THREADS} has one; add "
            f"--placement {RAY}."
        )
