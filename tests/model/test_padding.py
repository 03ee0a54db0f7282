"""Padded batches for the forward of transformers."""

import torch
from tiny_bert import make_table, padded

from pkd_core.model.padding import pad_examples


def test_examples_are_padded_to_the_longest_of_them_or_to_the_given_length() -> None:
    table, rows = make_table(9), [7, 2, 5]
    expected, inputs = padded(table, rows), pad_examples(table, rows)
    assert inputs.keys() == expected.keys()
    for name, values in expected.items():
        assert torch.equal(inputs[name], values), name
        longer = pad_examples(table, rows, length=40)[name]
        assert longer.shape == (3, 40)
        assert torch.equal(longer[:, : values.shape[1]], values), name
        assert not longer[:, values.shape[1] :].any(), name
