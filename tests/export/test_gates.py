"""How far an exported model may be from the one that it stands for."""

import numpy as np
import pytest

from pkd_core.errors import ModelError
from pkd_core.export.gates import check_parity, share_changed, spread_rows, why_refused


def test_parity_is_the_largest_difference_and_more_than_rounding_is_refused() -> None:
    expected = np.array([[1.0, -2.0], [0.5, 0.0]])
    assert check_parity(expected, expected + np.array([[0, 5e-5], [-9e-5, 0]]), "alone") == pytest.approx(
        9e-5
    )
    assert check_parity(100 * expected, 100 * expected + 0.019, "of scores to 200") == pytest.approx(0.019)
    with pytest.raises(
        ModelError, match=r"within 0\.0002, and differs by 0\.00021 on dev texts in padded batches"
    ):
        check_parity(expected, expected + np.array([[0, 0], [0, -2.1e-4]]), "in padded batches")
    with pytest.raises(ModelError, match="differs by nan"):
        check_parity(expected, np.full((2, 2), np.nan), "alone")


def test_changed_answers_are_texts_with_another_label_or_another_set_of_labels() -> None:
    before = np.array([[0.1, -1.0, 2.0], [3.0, 1.0, -1.0], [-1.0, -2.0, -3.0], [0.0, 0.1, 0.2]])
    after = np.array([[0.2, -1.0, 1.0], [1.0, 3.0, -1.0], [-0.5, -2.0, 0.5], [-0.1, 0.1, 0.2]])
    assert share_changed("classes", before, after) == 0.5  # the second and the third
    assert share_changed("multi-label", before, after) == 0.5  # the third and the fourth


def test_changed_scores_are_measured_by_their_correlation() -> None:
    before = np.array([[1.0], [2.0], [3.0], [5.0]])
    after = np.array([[1.1], [1.9], [3.3], [4.8]])
    expected = 1 - np.corrcoef(before[:, 0], after[:, 0])[0, 1]
    assert share_changed("regression", before, after) == pytest.approx(expected)
    assert share_changed("regression", before, 2 * before) == pytest.approx(0)
    constant = np.ones((4, 1))
    assert share_changed("regression", constant, constant) == 0
    assert share_changed("regression", constant, after) == 1


@pytest.mark.parametrize(
    ("kind", "changed", "sentence"),
    [
        ("classes", 0.02, ""),
        ("classes", 0.0212, "changes 2.1% of the answers on dev, and at most 2.0% is allowed"),
        ("regression", 0.05, "correlate with those of float32 at 0.9500, and at least 0.9800 is asked for"),
    ],
)
def test_int8_is_refused_beyond_the_limit(kind: str, changed: float, sentence: str) -> None:
    refused = why_refused(kind, changed, 0.02)  # type: ignore[arg-type]
    assert (sentence in refused) if sentence else refused == ""


def test_the_compared_texts_reach_from_the_shortest_to_the_longest() -> None:
    texts = [("x" * length,) for length in (9, 1, 5, 7, 3)]
    assert spread_rows(texts, 3) == [1, 2, 0]
    assert sorted(spread_rows(texts, 10)) == [0, 1, 2, 3, 4]
    pairs = [("xx", "x"), ("x", "xxxx"), ("x", "x")]
    assert spread_rows(pairs, 3) == [2, 0, 1]
