"""The device to compute on, and its name for people."""

import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pkd_core.errors import ConfigError, quoted

if TYPE_CHECKING:
    import torch

_CPU_INFO = Path("/proc/cpuinfo")
# Of NVIDIA's GPUs, of those in Windows' Linux, and of AMD's.
_GPU_DRIVERS = ("nvidiactl", "dxg", "kfd")


def find_device(name: str) -> "torch.device":
    """Return a device by its name.

    Args:
        name: "auto" for the first GPU if there is one, else the CPU; or a torch device such as "cpu" or "cuda:1".

    Raises:
        ConfigError: torch has no such device, or this machine has none.
    """
    import torch  # takes seconds, and planning does without

    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"there is no device {quoted(name)} on this machine; give --device auto, cpu or cuda."
        ) from error
    return device


def machine_of(name: str) -> str:
    """Return the model of the processor or GPU that a device's name means here, without torch where it is not needed.

    Raises:
        ConfigError: torch has no such device, or this machine has none.
    """
    may_have_gpu = any(Path("/dev", driver).exists() for driver in _GPU_DRIVERS) or sys.platform == "win32"
    if name == "cpu" or (name == "auto" and not may_have_gpu):
        return _processor()
    return model_of(find_device(name))


def model_of(device: "torch.device") -> str:
    """Return the model of the processor or the GPU, such as "AMD EPYC 7B13" or "NVIDIA H100 80GB HBM3"."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return _processor()


def _processor() -> str:
    with suppress(OSError):
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return " ".join(value.split())
    return platform.processor() or platform.machine()
