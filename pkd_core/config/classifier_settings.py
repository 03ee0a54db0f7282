"""The settings of a fine-tuned classifier of any family that are read of its config.json, and their bounds."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from pkd_core.config.bert_settings import Label, Layers, Size, Token
from pkd_core.config.overrides import validated

Family = Literal[
    "bert",
    "roberta",
    "xlm-roberta",
    "camembert",
    "distilbert",
    "deberta",
    "deberta-v2",
    "electra",
    "albert",
    "mpnet",
    "modernbert",
]
FAMILIES: tuple[str, ...] = get_args(Family)
ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]
# Their positions are counted from the one after the padding token's.
_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")


class ClassifierSettings(BaseModel):
    """What pkd reads of a classifier's settings.

    Other keys of a config.json are the family's own, but for those that would make another model of the same weights:
    they must be absent or have the value of a plain encoder.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", validate_default=True)

    model_type: Family
    num_layers: Annotated[Layers, Field(validation_alias=AliasChoices("num_hidden_layers", "n_layers"))]
    hidden_size: Annotated[Size, Field(validation_alias=AliasChoices("hidden_size", "dim"))]
    max_position_embeddings: Size = 512
    pad_token_id: Token | None = None
    num_labels: Annotated[int, Field(ge=1, le=10_000)] = 2
    id2label: Annotated[dict[Label, str], Field(min_length=1, max_length=10_000)] | None = None
    problem_type: ProblemType | None = None
    classifier_pooling: Literal["cls", "mean"] = "cls"
    is_decoder: Literal[False] = False
    add_cross_attention: Literal[False] = False
    pruned_heads: Annotated[dict[str, Any], Field(max_length=0)] = {}
    quantization_config: None = None
    per_layer_config: None = None
    transformers_weights: None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the outputs in their order; "LABEL_0" and so on where the file has none."""
        if self.id2label is None:
            return tuple(f"LABEL_{output}" for output in range(self.num_labels))
        return tuple(self.id2label[key] for key in sorted(self.id2label, key=int))

    @property
    def max_length(self) -> int:
        """Most tokens of an example that the position embeddings allow."""
        if self.model_type not in _POSITIONS_AFTER_PADDING:
            return self.max_position_embeddings
        return self.max_position_embeddings - 1 - (1 if self.pad_token_id is None else self.pad_token_id)

    @property
    def pools_mean(self) -> bool:
        """Whether the classifier reads the mean over all tokens, and not the first token's state."""
        return self.model_type == "modernbert" and self.classifier_pooling == "mean"


def read_classifier_settings(values: Mapping[str, Any]) -> ClassifierSettings:
    """Read the settings from a config.json's values.

    Raises:
        ConfigError: One is of the wrong type or out of bounds.
    """
    return validated(ClassifierSettings, values)
