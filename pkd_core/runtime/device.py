"""The device to compute on."""

import torch

from pkd_core.errors import ConfigError


def find_device(name: str) -> torch.device:
    """Return a device by its name, which must be there.

    Args:
        name: "auto" for the first GPU if there is one, else the CPU; or a torch device such as "cpu" or "cuda:1".

    Raises:
        ConfigError: torch knows no such device, or this machine has none.
    """
    # What stays in float32 on a GPU multiplies in TF32; a CPU takes no notice.
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"there is no device {name!r} on this machine; give --device auto, cpu or cuda."
        ) from error
    return device
