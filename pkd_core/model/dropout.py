"""Dropout whose masks come in bulk: drawing them number by number cost a quarter of a training step on a CPU."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

_LEVELS = 1 << 16


class KeepMasks(Protocol):
    """Where a step's dropout masks come from."""

    def draw(self, shape: Sequence[int], rate: float, dtype: torch.dtype) -> Tensor:
        """Return a mask of ones, and zeros with probability `rate`."""
        ...


class HostMasks:
    """Masks on the CPU, a function of their seeds alone; the rate is rounded to a multiple of 2^-16.

    Args:
        seeds: For example the training's seed, the step, and the part of the batch.
    """

    def __init__(self, *seeds: int) -> None:
        # The fastest of numpy's generators: it need not jump, since every step begins a stream of its own.
        self._generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seeds)))

    def draw(self, shape: Sequence[int], rate: float, dtype: torch.dtype) -> Tensor:
        """Return a mask of ones, and zeros with probability `rate`."""
        count = math.prod(shape)
        words = self._generator.integers(0, 1 << 64, size=-(-count // 4), dtype=np.uint64)
        levels = torch.from_numpy(words.view(np.int16)[:count])
        return (levels >= round(rate * _LEVELS) - _LEVELS // 2).to(dtype).view(*shape)


@dataclass(frozen=True)
class DeviceMasks:
    """Masks drawn by torch on the device itself."""

    generator: torch.Generator

    def draw(self, shape: Sequence[int], rate: float, dtype: torch.dtype) -> Tensor:
        """Return a mask of ones, and zeros with probability `rate`."""
        mask = torch.empty(*shape, dtype=dtype, device=self.generator.device)
        return mask.bernoulli_(1.0 - rate, generator=self.generator)


def drop(values: Tensor, rate: float, masks: KeepMasks | None) -> Tensor:
    """Set values to zero with probability `rate` and scale the others up to keep the mean; without masks, nothing."""
    if masks is None or rate == 0.0:
        return values
    dropped: Tensor = _Drop.apply(values, masks.draw(values.shape, rate, values.dtype), 1.0 / (1.0 - rate))  # type: ignore[no-untyped-call]
    return dropped


def drop_and_add(values: Tensor, residual: Tensor, rate: float, masks: KeepMasks | None) -> Tensor:
    """Return the residual plus the values after dropout, in one pass over memory."""
    if masks is None or rate == 0.0:
        return residual + values
    mask = masks.draw(values.shape, rate, values.dtype)
    total: Tensor = _DropAndAdd.apply(values, residual, mask, 1.0 / (1.0 - rate))  # type: ignore[no-untyped-call]
    return total


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return values.mul(mask).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (mask,) = ctx.saved_tensors
        return gradients[0].mul(mask).mul_(ctx.scale), None, None


class _DropAndAdd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, residual: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return torch.addcmul(residual, values, mask, value=scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (mask,) = ctx.saved_tensors
        return gradients[0].mul(mask).mul_(ctx.scale), gradients[0], None, None
