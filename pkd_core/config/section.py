"""What settings are made of: a frozen group of them, and numbers and names with bounds.

Upper bounds are far above what is useful: they exclude numbers that do not fit, or that would take for ever.
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("expected a text without a NUL character")
    return text


# Within the range of float32.
NonNegative = Annotated[FiniteFloat, Field(ge=0, le=1e30)]
Positive = Annotated[FiniteFloat, Field(ge=1e-30, le=1e30)]
Fraction = Annotated[FiniteFloat, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
# torch takes seeds of 64 bits.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
# No path is longer, and none holds a NUL.
Name = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_without_nul)]


class Section(BaseModel):
    """A group of settings: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
