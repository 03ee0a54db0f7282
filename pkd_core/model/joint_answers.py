"""The joint answer of several models: the mean of their probabilities. Shape suffixes: B examples, C outputs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def mean_of_classes(logits_BC: Sequence[Tensor]) -> Tensor:
    """Return logits whose softmax is the mean of the models' softmax."""
    logs = torch.stack([torch.log_softmax(one, dim=-1) for one in logits_BC])
    return torch.logsumexp(logs, dim=0) - math.log(len(logits_BC))


def mean_of_labels(logits_BC: Sequence[Tensor]) -> Tensor:
    """Return logits whose sigmoid is the mean of the models' sigmoid, for each label by itself."""
    outputs = torch.stack(list(logits_BC))
    logsigmoid = torch.nn.functional.logsigmoid
    return torch.logsumexp(logsigmoid(outputs), dim=0) - torch.logsumexp(logsigmoid(-outputs), dim=0)


def mean_of_scores(scores_BC: Sequence[Tensor]) -> Tensor:
    """Return the mean of the models' scores."""
    return torch.stack(list(scores_BC)).mean(dim=0)
