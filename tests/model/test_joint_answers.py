"""The joint answer of several models is the mean of their probabilities, or of their scores."""

import torch

from pkd_core.model.joint_answers import mean_of_classes, mean_of_labels, mean_of_scores

LOGITS = [
    torch.tensor([[2.0, -1.0, 0.5], [300.0, 0.0, -300.0]]),
    torch.tensor([[-3.0, 4.0, 0.0], [0.0, 1.0, 2.0]]),
]


def test_of_classes() -> None:
    expected = (LOGITS[0].softmax(dim=1) + LOGITS[1].softmax(dim=1)) / 2
    torch.testing.assert_close(mean_of_classes(LOGITS).softmax(dim=1), expected)
    torch.testing.assert_close(mean_of_classes(LOGITS[:1] * 3).softmax(dim=1), LOGITS[0].softmax(dim=1))


def test_of_labels_each_by_itself() -> None:
    expected = (LOGITS[0].sigmoid() + LOGITS[1].sigmoid()) / 2
    joint = mean_of_labels(LOGITS)
    torch.testing.assert_close(joint.sigmoid(), expected)
    assert bool(joint.isfinite().all())
    torch.testing.assert_close(mean_of_labels(LOGITS[1:] * 2), LOGITS[1])


def test_of_scores() -> None:
    assert mean_of_scores([torch.tensor([[1.0]]), torch.tensor([[4.0]])]).tolist() == [[2.5]]
