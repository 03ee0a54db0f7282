"""Copies of tensors from the CPU to the device."""

import torch


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return the tensor on `device`; to a GPU it is copied asynchronously, from pinned memory."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
