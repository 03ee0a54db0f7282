"""Learned projections of a student's [CLS] states to the hidden size of a wider or narrower teacher.

Shape suffixes: B batch, M matched layers, D the teacher's hidden size, E the student's.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

# Beside a seed, so that other random weights of the same seed do not begin with the same numbers.
_STREAM = 1


class Projections(nn.Module):
    """One matrix for each matched layer, trained with the student and dropped with the training.

    A matrix has no bias, as in TinyBERT (arXiv 1909.10351), and is initially normal with variance 1 / E: an element of
    a projected state is then about as large as one of the state.

    Args:
        num_layers: Matched layers M.
        student_size: The student's hidden size E.
        teacher_size: The teacher's hidden size D.
        seed: Seed of the initial weights.
    """

    def __init__(self, num_layers: int, student_size: int, teacher_size: int, seed: int) -> None:
        super().__init__()
        self.student_size, self.teacher_size = student_size, teacher_size
        shape = (num_layers, teacher_size, student_size)
        weights_MDE = np.random.default_rng((seed, _STREAM)).standard_normal(shape) / student_size**0.5
        self.matrices_DE = nn.ParameterList(
            nn.Parameter(torch.from_numpy(weights_DE.astype(np.float32))) for weights_DE in weights_MDE
        )

    def forward(self, student_cls_BE: Sequence[Tensor]) -> Tensor:
        """Project the [CLS] states of each matched layer, in float32.

        Args:
            student_cls_BE: The M matched layers' states, each of shape (B, E); of an example of K choices, their states
                one after the other, (B, K * E).

        Returns:
            Shape (B, M, D), or (B, M, K * D).
        """
        projected_BD = [
            functional.linear(cls_BE.float().reshape(len(cls_BE), -1, self.student_size), matrix_DE).flatten(
                1
            )
            for cls_BE, matrix_DE in zip(student_cls_BE, self.matrices_DE, strict=True)
        ]
        return torch.stack(projected_BD, dim=1)
