"""Three ways of reading the paper: everything in which they differ is a setting or a layer map, and stands here.

A convention's settings come after the presets and before what a user gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pkd_core.config.settings import ConventionName
from pkd_core.errors import ConfigError, quoted

_TRAININGS = ("teacher", "student")
# As pkd_core.method.layer_map has it for pkd-last.
_LAST_LAYERS_3_OF_12 = ((1, 10), (2, 11))


@dataclass(frozen=True)
class Convention:
    """A way of training that presets and settings are read with.

    Attributes:
        description: What it is, in one sentence.
        settings: Values by dotted key, over the presets.
        layer_maps: Pairs of student and teacher layer by (method, student's depth, teacher's depth), where they
            differ from the method's own map.
    """

    description: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    layer_maps: Mapping[tuple[str, int, int], tuple[tuple[int, int], ...]] = field(default_factory=dict)


def _of_both(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section in _TRAININGS for key, value in values.items()}


CONVENTIONS: Mapping[ConventionName, Convention] = {
    "default": Convention(
        "AdamW and shuffled batches, with the reductions that the published settings were tuned with."
    ),
    "authors": Convention(
        "What the authors' code does: BertAdam, no shuffling, a schedule over full batches, float32.",
        _of_both(
            {"optimizer": "bert-adam", "shuffle": False, "schedule": "full-batches", "precision": "float32"}
        )
        | {
            "tokens.truncation": "first-text-longer",
            "distill.distillation_reduction": "element_mean",
            "distill.patience_reduction": "element_mean",
        },
        {("pkd-skip", 3, 12): _LAST_LAYERS_3_OF_12},
    ),
    "paper": Convention(
        "The paper's formulas as printed: losses summed over classes, layers and hidden size; else as default.",
        {
            "distill.distillation_reduction": "batch_mean",
            "distill.patience_reduction": "batch_mean",
        },
    ),
}


def check_convention(name: str) -> ConventionName:
    """Return a convention's name.

    Raises:
        ConfigError: There is no such convention.
    """
    for known in CONVENTIONS:
        if name == known:
            return known
    raise ConfigError(f"there is no convention {quoted(name)}; give one of {', '.join(CONVENTIONS)}.")
