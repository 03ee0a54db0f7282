"""Settings of what is exported of a trained model."""

from typing import Annotated

from pydantic import Field

from pkd_core.config.section import Fraction, Section


class ExportConfig(Section):
    """A trained model as ONNX files: part of no training's address."""

    max_changed: Annotated[
        Fraction,
        Field(
            description="Largest part of the dev split's answers that int8 may change: with more, only float32 is "
            "published. For scores, 1 minus the correlation of both."
        ),
    ] = 0.02
