"""A forward pass whose attention reads packed rows computes what the padded one does."""

import itertools

import numpy as np
import pytest
import torch
from packed_reference import attend_packed_reference
from tiny_bert import make_table, tiny_classifier

from pkd_core.model import forward as forward_module
from pkd_core.model.forward import forward
from pkd_core.model.packed_attention import needs_padding
from pkd_core.model.packing import pack

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def test_without_padding_outputs_and_gradients_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward_module, "attend_packed", attend_packed_reference)
    model, table = tiny_classifier(3), make_table(11)
    gradients, outputs = [], []
    for with_padding in (True, False):
        batch = pack(table, np.arange(11), CPU, with_padding)
        assert bool(batch.layout.groups) is with_padding
        output = forward(model, batch)
        loss = (output.logits_BC.square()).sum() + output.cls_states_BND.pow(3).sum()
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
        outputs.append(output)
    torch.testing.assert_close(outputs[1].logits_BC, outputs[0].logits_BC)
    torch.testing.assert_close(outputs[1].cls_states_BND, outputs[0].cls_states_BND)
    for packed, padded in zip(*reversed(gradients), strict=True):
        torch.testing.assert_close(packed, padded, rtol=1e-4, atol=1e-4)


def test_a_batchs_starts_are_those_of_the_examples_the_filler_and_the_end() -> None:
    table = make_table(5)
    layout = pack(table, np.arange(5)).layout
    lengths = sorted(table.lengths.tolist(), reverse=True)
    assert layout.starts_S.tolist() == [0, *np.cumsum(lengths).tolist(), len(layout.padded_rows_T)]
    assert layout.starts_S.dtype == torch.int32
    assert layout.longest == 128


def test_longest_holds_for_the_filler_too() -> None:
    # 2,050 tokens are filled up to 2,176 rows with steps of 128; of 8,210 tokens, the filler can have 512 rows.
    table = make_table(700)
    for num_rows in range(600, 700, 7):
        layout = pack(table, np.arange(num_rows)).layout
        starts = layout.starts_S.tolist()
        assert layout.longest >= max(end - start for start, end in itertools.pairwise(starts))
        assert layout.longest % 128 == 0


@pytest.mark.parametrize(
    ("device", "dtype", "head_size", "capability", "expected"),
    [
        (CPU, torch.bfloat16, 64, (9, 0), True),
        (GPU, torch.float32, 64, (9, 0), True),
        (GPU, torch.bfloat16, 64, (9, 0), False),
        (GPU, torch.bfloat16, 256, (8, 0), False),
        (GPU, torch.bfloat16, 264, (9, 0), True),
        (GPU, torch.bfloat16, 20, (9, 0), True),
        (GPU, torch.bfloat16, 64, (7, 5), True),
    ],
)
def test_padding_is_needed_where_there_is_no_kernel_for_packed_rows(
    device: torch.device,
    dtype: torch.dtype,
    head_size: int,
    capability: tuple[int, int],
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert needs_padding(device, dtype, head_size) is expected


def test_torch_has_the_kernel_with_the_arguments_that_are_passed() -> None:
    """The operation is private: a new torch that changes it fails here and not on a user's GPU."""
    arguments = torch.ops.aten._flash_attention_forward.default._schema.arguments
    assert [argument.name for argument in arguments][:10] == [
        "query",
        "key",
        "value",
        "cum_seq_q",
        "cum_seq_k",
        "max_q",
        "max_k",
        "dropout_p",
        "is_causal",
        "return_debug_mask",
    ]
