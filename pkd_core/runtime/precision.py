"""In which number format a model computes while it is trained; its weights are always float32."""

from collections.abc import Mapping
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]

DTYPES: Mapping[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def resolve_precision(wanted: Literal["auto", "float32", "bfloat16"], device: torch.device) -> Precision:
    """Return the format to train in: what is wanted, or for "auto" bfloat16 where the device has it in hardware."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if _has_bfloat16(device) else "float32"


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return False
