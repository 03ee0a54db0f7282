"""Distances of [CLS] states equal those of transformers' own hidden states, and the sample is always the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bert import make_table, tiny_classifier

from pkd_core.data.token_table import TokenTable
from pkd_core.evaluation.distances import cls_states, mean_distances, sample_rows
from pkd_core.evaluation.distances_result import (
    Distances,
    LayerDistance,
    at_same_depth,
    read_distances,
    write_distances,
)

CPU = torch.device("cpu")


def by_transformers(model: torch.nn.Module, table: TokenTable, rows: np.ndarray) -> np.ndarray:
    """Return every layer's [CLS] states, shape (R, N, D), of one example at a time."""
    states = []
    for row in rows:
        start, end = table.offsets[row], table.offsets[row + 1]
        types = np.arange(end - start) >= table.second_starts_R[row]
        with torch.inference_mode():
            hidden = model(
                input_ids=torch.from_numpy(table.input_ids[start:end])[None].long(),
                token_type_ids=torch.from_numpy(types)[None].long(),
                output_hidden_states=True,
            ).hidden_states
        states.append([layer[0, 0].numpy() for layer in hidden[1:]])
    return np.array(states)


def test_states_are_those_of_transformers_in_the_rows_order() -> None:
    model, table = tiny_classifier(num_layers=3), make_table(30)
    rows = np.array([2, 3, 11, 29])
    states_RND = cls_states(model, table, rows, CPU)
    assert states_RND.shape == (4, 3, 32)
    np.testing.assert_allclose(states_RND.numpy(), by_transformers(model, table, rows), atol=1e-5)


def test_a_distance_is_the_mean_squared_distance_of_unit_vectors_of_each_pair() -> None:
    generator = np.random.default_rng(0)
    student, teacher = generator.standard_normal((2, 7, 3, 8)).astype(np.float32)
    cosines = (
        (student * teacher).sum(-1) / np.linalg.norm(student, axis=-1) / np.linalg.norm(teacher, axis=-1)
    )
    expected = (2 - 2 * cosines).mean(axis=0)
    stored = torch.from_numpy(teacher)
    assert mean_distances(torch.from_numpy(student), stored, 8) == pytest.approx(expected.tolist(), abs=1e-5)
    opposite = mean_distances(-stored, stored.half(), 8)
    assert opposite == pytest.approx([4.0] * 3, abs=1e-5)


def test_each_state_of_a_row_with_several_counts_by_itself() -> None:
    student_RMD, teacher_RMD = torch.tensor([[[1.0, 0.0, 9.0, 0.0]]]), torch.tensor([[[5.0, 0.0, 0.0, 5.0]]])
    assert mean_distances(student_RMD, teacher_RMD, hidden_size=2) == [1.0]


def test_the_sample_is_at_most_a_thousand_different_rows_and_always_the_same() -> None:
    rows = sample_rows(5000)
    assert (len(rows), len(set(rows.tolist()))) == (1000, 1000)
    assert rows.tolist() == sorted(rows.tolist()) == sample_rows(5000).tolist()
    assert 0 <= rows[0] < 50 and 4950 < rows[-1] < 5000, "spread over all rows"
    assert sample_rows(3).tolist() == [0, 1, 2]


def test_what_is_written_is_read_and_matched_layers_are_told_from_those_of_the_same_depth(
    tmp_path: Path,
) -> None:
    first, matched, last = (
        LayerDistance(*layers, layers == (1, 3), 0.5, 0.25) for layers in ((1, 2), (1, 3), (2, 4))
    )
    distances = Distances(10, [first, matched, last])
    write_distances(tmp_path, distances)
    assert read_distances(tmp_path) == distances
    assert at_same_depth(distances.layers) == [first, last]
    assert at_same_depth([]) == []
