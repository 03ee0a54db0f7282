"""The number format of a training's forward and backward passes; weights are always float32."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16"]


def dtype_of(precision: Precision) -> "torch.dtype":
    """Return torch's name of a number format."""
    import torch  # takes seconds, and planning does without

    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def resolve_precision(requested: Literal["auto", "float32", "bfloat16"], device: "torch.device") -> Precision:
    """Return the format to train in: the requested one, or for "auto" bfloat16 where the hardware supports it."""
    if requested != "auto":
        return requested
    return "bfloat16" if _has_bfloat16(device) else "float32"


def _has_bfloat16(device: "torch.device") -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return False
