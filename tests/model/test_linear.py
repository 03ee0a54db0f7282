"""The linear layer of GPUs computes what torch's does; its formulas hold on any device."""

import torch

from pkd_core.model.linear import _Linear, linear


def test_the_gradients_are_those_of_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((5, 3), (4, 3), (4,))
    ]
    torch.testing.assert_close(_Linear.apply(*inputs), linear(*inputs))
    assert torch.autograd.gradcheck(_Linear.apply, inputs)
