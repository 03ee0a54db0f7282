"""Predictions equal transformers' own, in the table's order."""

import numpy as np
import pytest
import torch
from tiny_bert import make_table, padded, tiny_classifier

from pkd_core.evaluation.predict import count_parameters, predict
from pkd_core.runtime.cancellation import StoppedError

CPU = torch.device("cpu")


@pytest.mark.parametrize("max_tokens", [1, 64, 10_000])
def test_predictions_equal_transformers_in_the_tables_order_for_any_batch_size(max_tokens: int) -> None:
    model, table = tiny_classifier(num_outputs=3).train(), make_table(40, first_id=9)
    random_state = torch.get_rng_state()
    example_ids_R, logits_RC = predict(model, table, CPU, max_tokens)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert model.training
    assert example_ids_R.tolist() == list(range(9, 49))
    assert logits_RC.dtype == np.float32
    model.eval()
    with torch.inference_mode():
        reference = [model(**padded(table, [row])).logits[0].numpy() for row in range(40)]
    np.testing.assert_allclose(logits_RC, reference, atol=1e-5)


def test_parameters_are_counted_in_weights() -> None:
    assert count_parameters(torch.nn.Linear(3, 4)) == 3 * 4 + 4


def test_progress_counts_the_examples_of_each_batch_and_an_error_in_it_ends_the_prediction() -> None:
    model, table = tiny_classifier(2), make_table(40)
    reported: list[int] = []
    predict(model, table, CPU, 64, reported.append)
    # Batches are filled longest first: each holds as many examples as fit into 64 tokens with its longest.
    lengths, expected = sorted(table.lengths.tolist(), reverse=True), [0]
    while expected[-1] < 40:
        expected.append(min(40, expected[-1] + 64 // lengths[expected[-1]]))
    assert reported == expected[1:]

    def stop(num_done: int) -> None:
        assert num_done == reported[0]
        raise StoppedError("stopped here")

    with pytest.raises(StoppedError):
        predict(model, table, CPU, 64, stop)
