"""Classifier heads on a student's inner layers, which learn with it and are dropped with the training.

Shape suffixes: B batch, C classes, D hidden size, N layers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

# Beside a seed, so that other random weights of the same seed do not begin with the same numbers.
_STREAM = 2


class Heads(nn.Module):
    """One linear classifier of the [CLS] state of each chosen layer.

    Args:
        layers: The layers, from 1.
        hidden_size: Of the states.
        num_outputs: Classes, or 1 for a score.
        std: Standard deviation of the initial weights; biases are 0.
        seed: Seed of the initial weights.
    """

    def __init__(
        self, layers: Sequence[int], hidden_size: int, num_outputs: int, std: float, seed: int
    ) -> None:
        super().__init__()
        self.layers = tuple(layers)
        rng = np.random.default_rng((seed, _STREAM))
        weights = rng.standard_normal((len(layers), num_outputs, hidden_size)) * std
        self.weights_CD = nn.ParameterList(
            nn.Parameter(torch.from_numpy(each.astype(np.float32))) for each in weights
        )
        self.biases_C = nn.ParameterList(nn.Parameter(torch.zeros(num_outputs)) for _ in layers)

    def forward(self, cls_states_BND: Tensor) -> list[Tensor]:
        """Return each head's logits, float32, shape (B, C), from the states of all layers.

        Of an example of K choices, the states are those of all choices, and C is K.
        """
        return [
            functional.linear(
                _by_choice(cls_states_BND.select(1, layer - 1), weight_CD), weight_CD, bias_C
            ).flatten(1)
            for layer, weight_CD, bias_C in zip(self.layers, self.weights_CD, self.biases_C, strict=True)
        ]


def _by_choice(state_BD: Tensor, weight_CD: Tensor) -> Tensor:
    """Return the states of an example's choices apart, float32, shape (B, K, D)."""
    return state_BD.float().reshape(len(state_BD), -1, weight_CD.shape[1])
