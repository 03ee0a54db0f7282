"""Dropout with masks drawn in bulk: drawing them number by number took a quarter of a training step on a CPU."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_LEVELS = 1 << 16
_GENERATOR_LOCK = Lock()


class KeepMasks(Protocol):
    """A source of dropout masks, which mark the values to keep."""

    def draw(self, shape: Sequence[int], rate: float, dtype: torch.dtype) -> Tensor:
        """Return the next mask: each value is 0 with probability `rate`, else 1."""
        ...


class HostMasks:
    """Masks on the CPU that depend on their seeds alone.

    The probability is rounded to a multiple of 2^-16.

    >>> seed, step, part = 42, 1, 0
    >>> HostMasks(seed, step, part).draw((2, 5), 0.4, torch.float32)
    tensor([[1., 0., 0., 0., 0.],
            [1., 0., 0., 1., 1.]])

    Args:
        seeds: For example the training's seed, the step, and the part of the batch.
    """

    def __init__(self, *seeds: int) -> None:
        # The fastest of numpy's generators; each step has its own stream, so skipping ahead in one is not needed.
        self._generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seeds)))

    def draw(self, shape: Sequence[int], rate: float, dtype: torch.dtype) -> Tensor:
        """Return the next mask: each value is 0 with probability `rate`, else 1."""
        # Each 64-bit number holds four levels, uniform from -2^15 to 2^15 - 1.
        count = math.prod(shape)
        words = self._generator.integers(0, 1 << 64, size=-(-count // 4), dtype=np.uint64)
        levels = torch.from_numpy(words.view(np.int16)[:count])
        return (levels >= round(rate * _LEVELS) - _LEVELS // 2).to(dtype).view(*shape)


@dataclass(frozen=True)
class DeviceMasks:
    """Masks drawn by torch on the generator's device."""

    generator: torch.Generator

    def draw(self, shape: Sequence[int], rate: float, dtype: torch.dtype) -> Tensor:
        """Return the next mask: each value is 0 with probability `rate`, else 1."""
        mask = torch.empty(*shape, dtype=dtype, device=self.generator.device)
        return mask.bernoulli_(1.0 - rate, generator=self.generator)


@contextmanager
def exclusive_generator(device: torch.device) -> Iterator[None]:
    """Keep the other trainings of this process from drawing from a GPU's own generator while the body runs.

    Between a seed and the numbers drawn after it, and while a graph is captured, no other thread may use it.
    """
    if device.type != "cuda":
        yield
        return
    with _GENERATOR_LOCK:
        yield


def make_masks(device: torch.device, *seeds: int) -> KeepMasks:
    """Return the masks of a micro-batch on a device.

    On CUDA the device's own generator draws them, because attention's kernels draw from it as well.

    Args:
        device: Where they are drawn.
        seeds: For example the training's seed, the step, and the part of the batch.
    """
    if device.type == "cpu":
        return HostMasks(*seeds)
    seed = int(np.random.SeedSequence(seeds).generate_state(1)[0])
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
        return DeviceMasks(torch.cuda.default_generators[torch.cuda.current_device()])
    return DeviceMasks(torch.Generator(device).manual_seed(seed))


def drop(values: Tensor, rate: float, masks: KeepMasks | None) -> Tensor:
    """Set values to 0 with probability `rate` and multiply the others by 1 / (1 - rate), which keeps the mean.

    >>> drop(torch.ones(2, 5), 0.5, HostMasks(42, 1))
    tensor([[2., 0., 0., 0., 0.],
            [2., 0., 0., 0., 2.]])

    Args:
        values: Any shape.
        rate: Dropout probability.
        masks: Source of the mask; None for no dropout.
    """
    if masks is None or rate == 0.0:
        return values
    if values.is_cuda:
        # torch's kernel draws a mask and applies it at once; `make_masks` seeded its generator.
        return functional.dropout(values, rate)
    mask = masks.draw(values.shape, rate, values.dtype)
    dropped: Tensor = _Drop.apply(values, mask, 1.0 / (1.0 - rate))  # type: ignore[no-untyped-call]
    return dropped


def drop_and_add(values: Tensor, residual: Tensor, rate: float, masks: KeepMasks | None) -> Tensor:
    """Return `residual + drop(values, rate, masks)`, computed in one pass over memory."""
    if masks is None or rate == 0.0:
        return residual + values
    if values.is_cuda:
        return residual + functional.dropout(values, rate)
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
