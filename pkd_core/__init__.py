"""What the method is: data, models, losses, training, extraction, evaluation and the stage store.

For notebooks, two functions are imported from here; they load torch when they are first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pkd_core.pipeline.notebook import compress as compress
    from pkd_core.pipeline.notebook import load_student as load_student

__all__ = ["compress", "load_student"]


def __getattr__(name: str) -> Any:
    """Import one of the functions for notebooks."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("pkd_core.pipeline.notebook"), name)
