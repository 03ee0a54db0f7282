"""The device to compute on."""

from typing import TYPE_CHECKING

from pkd_core.errors import ConfigError, quoted

if TYPE_CHECKING:
    import torch


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
