"""The settings of a BERT that are read of its config.json, and their bounds."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationInfo, field_validator

from pkd_core.config.overrides import validated

Layers = Annotated[int, Field(ge=1, le=1000)]
Size = Annotated[int, Field(ge=1, le=1_000_000)]
Words = Annotated[int, Field(ge=1, le=100_000_000)]
Probability = Annotated[FiniteFloat, Field(ge=0, lt=1)]
Token = Annotated[int, Field(ge=0)]
_COMMON_ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu")
Label = Annotated[str, Field(pattern=r"^[0-9]{1,4}$")]


class BertSettings(BaseModel):
    """What pkd uses of a BERT's settings, with the defaults of transformers' BertConfig.

    Other keys of a config.json are not read, but for those that would make another model of the same weights: they must
    be absent or have the value of a plain BERT.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", validate_default=True)

    vocab_size: Words = 30522
    hidden_size: Size = 768
    num_hidden_layers: Layers = 12
    num_attention_heads: Size = 12
    intermediate_size: Size = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: Probability = 0.1
    attention_probs_dropout_prob: Probability = 0.1
    max_position_embeddings: Size = 512
    type_vocab_size: Size = 2
    initializer_range: Annotated[FiniteFloat, Field(ge=0, le=100)] = 0.02
    layer_norm_eps: Annotated[FiniteFloat, Field(ge=0, le=1)] = 1e-12
    pad_token_id: Token | None = 0
    use_cache: bool = True
    classifier_dropout: Probability | None = None
    is_decoder: Literal[False] = False
    add_cross_attention: Literal[False] = False
    bos_token_id: Token | None = None
    eos_token_id: Token | list[Token] | None = None
    tie_word_embeddings: bool = True
    num_labels: Annotated[int, Field(ge=1, le=10_000)] = 2
    id2label: Annotated[dict[Label, str], Field(min_length=1, max_length=10_000)] | None = None
    label2id: Annotated[dict[str, Token], Field(max_length=10_000)] | None = None
    problem_type: (
        Literal["regression", "single_label_classification", "multi_label_classification"] | None
    ) = None
    position_embedding_type: Annotated[Literal["absolute"], Field(exclude=True)] = "absolute"
    pruned_heads: Annotated[dict[str, Any], Field(max_length=0, exclude=True)] = {}
    quantization_config: Annotated[None, Field(exclude=True)] = None
    per_layer_config: Annotated[None, Field(exclude=True)] = None
    transformers_weights: Annotated[None, Field(exclude=True)] = None

    @field_validator("num_attention_heads")
    @classmethod
    def _divides_hidden_size(cls, heads: int, info: ValidationInfo) -> int:
        hidden_size = info.data.get("hidden_size", heads)
        if hidden_size % heads:
            raise ValueError(f"expected a number that divides hidden_size {hidden_size}")
        return heads

    @field_validator("hidden_act")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in _COMMON_ACTIVATIONS and not _has_activation(name):
            raise ValueError("expected an activation function that transformers has")
        return name

    @field_validator("pad_token_id")
    @classmethod
    def _is_a_word(cls, token: int | None, info: ValidationInfo) -> int | None:
        vocab_size = info.data.get("vocab_size")
        if token is not None and vocab_size is not None and token >= vocab_size:
            raise ValueError(f"expected one of the {vocab_size} words")
        return token


def _has_activation(name: str) -> bool:
    from transformers.activations import ACT2FN  # imports torch, which takes seconds

    return name in ACT2FN


def read_bert_settings(values: Mapping[str, Any]) -> BertSettings:
    """Read the settings from a config.json's values.

    Raises:
        ConfigError: One is of the wrong type or out of bounds.
    """
    return validated(BertSettings, values)


def used_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a config.json's values that are used, unchanged.

    Raises:
        ConfigError: One is of the wrong type or out of bounds.
    """
    read_bert_settings(values)
    used = {name for name, field in BertSettings.model_fields.items() if not field.exclude}
    return {name: value for name, value in values.items() if name in used}
