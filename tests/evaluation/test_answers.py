"""A model's answers to a split, written and read."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pkd_core.errors import StoreError
from pkd_core.evaluation.answers import read_answers, write_answers

IDS = np.array([5, 2, 9])


def test_classes_are_read_as_they_were_answered(tmp_path: Path) -> None:
    logits = np.array([[0.5, 1.5, -1.0], [2.0, 0.0, 1.0], [0.0, 0.25, 0.5]], dtype=np.float32)
    write_answers(tmp_path, "dev", IDS, np.array([1, 1, 2]), logits)
    found = read_answers(tmp_path, "dev")
    assert found.example_ids_R.tolist() == [5, 2, 9]
    assert found.labels_R.tolist() == [1, 1, 2]
    assert found.predictions_R.tolist() == [1, 0, 2]
    np.testing.assert_array_equal(found.logits_RC, logits)
    assert pq.read_table(tmp_path / "answers-dev.parquet").column_names == [
        "example_id", "label", "prediction", "logits"
    ]  # fmt: skip


def test_scores_are_read_as_they_were_answered(tmp_path: Path) -> None:
    logits = np.array([[0.5], [2.0], [-1.0]], dtype=np.float32)
    write_answers(tmp_path, "dev-mismatched", IDS, np.array([0.0, 2.5, 1.0], dtype=np.float32), logits)
    found = read_answers(tmp_path, "dev-mismatched")
    assert found.labels_R.tolist() == [0.0, 2.5, 1.0]
    assert found.predictions_R.tolist() == [0.5, 2.0, -1.0]


@pytest.mark.parametrize("content", [None, b"PAR1 but no more"])
def test_missing_or_damaged_answers_are_named_in_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "answers-dev.parquet").write_bytes(content)
    with pytest.raises(StoreError, match=r"answers-dev\.parquet: expected a model's answers"):
        read_answers(tmp_path, "dev")
