"""A fine-tuned classifier of any family, which reads texts with its own tokenizer, through transformers.

Shape suffixes: B examples of a batch or a window, C outputs, D hidden size, L tokens, N layers.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from pkd_core.data.tokenizer import load_tokenizer_of
from pkd_core.errors import ModelError, reason
from pkd_core.model.classifier_files import read_classifier, read_classifier_config
from pkd_core.model.file_checks import weight_files
from pkd_core.model.forward import Outputs
from pkd_core.runtime.prefetch import prefetch

# Batches of one window are sorted by length.
WINDOW = 1024
_MAX_ROWS = 64

# An example as transformers' forward takes it: ids by argument.
Encoded = Mapping[str, Sequence[int]]
Texts = Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class TextClassifier:
    """A classifier and how it reads texts.

    Attributes:
        model: Of transformers, in float32 and in evaluation mode.
        tokenizer: Its own one.
        max_length: Most tokens of an example: the smaller one of its positions and its tokenizer's limit.
        arguments: What its forward takes of what the tokenizer gives.
        pools_mean: Whether its head reads the mean over all tokens, and not the first token's state.
        num_layers: N.
        hidden_size: D.
    """

    model: Any
    tokenizer: Any
    max_length: int
    arguments: tuple[str, ...]
    pools_mean: bool
    num_layers: int
    hidden_size: int

    def encode(self, texts: Texts) -> list[Encoded]:
        """Tokenise examples of one or two texts each, the longer one of which is cut first."""
        columns = [list(column) for column in zip(*texts, strict=True)]
        encoded = self.tokenizer(*columns, truncation="longest_first", max_length=self.max_length)
        names = [name for name in self.arguments if name in encoded]
        return [{name: encoded[name][row] for name in names} for row in range(len(texts))]

    def pad(self, examples: Sequence[Encoded]) -> dict[str, Tensor]:
        """Return examples as one batch, padded on the right to the longest of them; each argument is (B, L)."""
        padding = {"input_ids": self.tokenizer.pad_token_id}
        return {
            name: nn.utils.rnn.pad_sequence(
                [torch.tensor(one[name]) for one in examples],
                batch_first=True,
                padding_value=padding.get(name, 0),
            )
            for name in examples[0]
        }

    def outputs(self, inputs: Mapping[str, Tensor]) -> Outputs:
        """Return a batch's logits and the state of each layer that its head reads of the last: [CLS] or the mean."""
        outputs = self.model(**inputs, output_hidden_states=True)
        layers = outputs.hidden_states[1:]
        if self.pools_mean:
            mask_BL1 = inputs["attention_mask"].unsqueeze(-1)
            states = [(hidden * mask_BL1).sum(dim=1) / mask_BL1.sum(dim=1) for hidden in layers]
        else:
            states = [hidden[:, 0] for hidden in layers]
        return Outputs(outputs.logits.float(), torch.stack(states, dim=1).float())


def load_text_classifier(folder: Path) -> TextClassifier:
    """Load a classifier of any family as it was saved, in float32.

    Raises:
        ModelError: Its files are not complete, or a weight is missing or has another shape.
    """
    name = str(folder)
    settings, config = read_classifier(name, folder), read_classifier_config(name, folder)
    model = _load_weights(folder, config)
    tokenizer = load_tokenizer_of(folder, config)
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"{name} needs a tokenizer with a token for padding, and its own has none; set pad_token."
        )
    parameters = inspect.signature(model.forward).parameters
    return TextClassifier(
        model,
        tokenizer,
        min(settings.max_length, tokenizer.model_max_length),
        tuple(name for name in ("input_ids", "attention_mask", "token_type_ids") if name in parameters),
        settings.pools_mean,
        settings.num_layers,
        settings.hidden_size,
    )


@torch.inference_mode()
def run_texts(
    classifier: TextClassifier,
    texts: Texts,
    device: torch.device,
    max_tokens: int = 8192,
    windows: Sequence[range] | None = None,
) -> Iterator[Outputs]:
    """Yield the outputs of a window of examples after the other, on the CPU, in the examples' order.

    Args:
        classifier: Its model is moved to the device.
        texts: The examples, one or two texts each.
        device: Where to compute.
        max_tokens: Maximum tokens of a batch, with padding.
        windows: The windows; None for all examples in windows of 1,024.
    """
    classifier.model.to(device)
    if windows is None:
        starts = range(0, len(texts), WINDOW)
        windows = [range(start, min(start + WINDOW, len(texts))) for start in starts]
    # Tokenised by another thread while the model computes.
    for examples in prefetch(classifier.encode(texts[rows.start : rows.stop]) for rows in windows):
        order = list(_sorted_batches([len(one["input_ids"]) for one in examples], max_tokens))
        parts = []
        for rows in order:
            inputs = classifier.pad([examples[row] for row in rows])
            outputs = classifier.outputs({name: values.to(device) for name, values in inputs.items()})
            parts.append(Outputs(outputs.logits_BC.cpu(), outputs.cls_states_BND.cpu()))
        unsort = torch.from_numpy(np.argsort(np.concatenate(order)))
        yield Outputs(
            torch.cat([part.logits_BC for part in parts])[unsort],
            torch.cat([part.cls_states_BND for part in parts])[unsort],
        )


def _sorted_batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Yield every example once, longest first, in batches of bounded tokens and examples."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    start = 0
    while start < len(order):
        size = min(max(1, max_tokens // lengths[order[start]]), _MAX_ROWS)
        yield order[start : start + size]
        start += size


def _load_weights(folder: Path, config: Any) -> Any:
    kind: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    try:
        with ExitStack() as opened, torch.random.fork_rng(devices=[]):
            weights: dict[str, Any] = {}
            for name in weight_files(folder):
                file = opened.enter_context(safe_open(folder / name, framework="pt"))
                weights |= {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
            model, report = kind.from_pretrained(
                None,
                config=config,
                state_dict=weights,
                dtype=torch.float32,
                local_files_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except (OSError, RuntimeError, ValueError, TypeError, ArithmeticError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: expected a complete classifier, got {reason(error)}; save the model again"
        ) from error
    absent = set(report["missing_keys"]) | {name for name, *_shapes in report["mismatched_keys"]}
    if absent:
        raise ModelError(
            f"{folder}: expected a complete classifier, {len(absent)} weights are absent or of another shape, such as "
            f"{min(absent)}; save the model again"
        )
    return model.eval()
