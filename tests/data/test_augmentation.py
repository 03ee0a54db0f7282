"""Varied copies are made of the example's words and spans of its class, once each, and never an original."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkd_core.data.augmentation import LikelyWords, Pieces, Variation, key_of, put_together, take_apart, vary
from pkd_core.data.token_table import TokenTable

CLS, SEP, MASK = 2, 3, 4
# Ids from 100 on continue a word; 14 and 40 are no words of letters.
IDS = np.arange(200)
PIECES = Pieces(CLS, SEP, MASK, IDS >= 100, (IDS >= 10) & (IDS < 100) & (IDS != 14) & (IDS != 40))
NOTHING = Variation(
    num_copies=5, mlm_probability=0, mask_probability=0, swap_probability=0, ngram_probability=0, seed=1
)


def table_of(*rows: tuple[list[list[int]], int]) -> TokenTable:
    """Return a table of (texts, label)."""
    ids, offsets, seconds = [], [0], []
    for texts, _ in rows:
        row = [CLS]
        starts = []
        for text in texts:
            row += [*text, SEP]
            starts.append(len(row))
        ids += row
        offsets.append(len(ids))
        seconds.append(starts[0])
    return TokenTable(
        example_ids_R=np.arange(len(rows)),
        offsets=np.array(offsets),
        input_ids=np.array(ids, dtype=np.int32),
        second_starts_R=np.array(seconds, dtype=np.int32),
        labels_R=np.array([label for _, label in rows]),
    )


SINGLES = table_of(([[10, 11, 101, 12, 13, 14]], 0), ([[20, 21, 22, 102, 103]], 1), ([[30, 31, 32, 33]], 0))
PAIRS = table_of(([[10, 11, 12], [20, 21]], 0), ([[30, 31], [40, 41, 42, 43]], 0))


def copies_of(
    table: TokenTable, max_length: int = 128, likely: Iterable[LikelyWords] | None = None, **changes: float
) -> list[tuple[list[list[int]], ...]]:
    variation = Variation(**{**vars(NOTHING), **changes})  # type: ignore[arg-type]
    seen = {key_of(take_apart(table, row, PIECES)) for row in range(len(table))}
    return list(vary(table, variation, PIECES, max_length, seen, *([] if likely is None else [likely])))


def flat(text: list[list[int]]) -> list[int]:
    return [piece for word in text for piece in word]


@pytest.mark.parametrize("table", [SINGLES, PAIRS])
def test_an_example_is_put_together_as_it_was(table: TokenTable) -> None:
    for row in range(len(table)):
        ids, second_start = put_together(take_apart(table, row, PIECES), PIECES)
        assert ids == table.input_ids[table.offsets[row] : table.offsets[row + 1]].tolist()
        assert second_start == table.second_starts_R[row]


def test_a_word_is_its_first_piece_and_those_that_continue_it() -> None:
    assert take_apart(SINGLES, 0, PIECES) == ([[10], [11, 101], [12], [13], [14]],)
    assert take_apart(SINGLES, 1, PIECES) == ([[20], [21], [22, 102, 103]],)


def test_without_any_change_every_copy_would_be_the_original() -> None:
    assert copies_of(SINGLES) == []


def test_masking_replaces_whole_words_and_keeps_the_others() -> None:
    found = copies_of(SINGLES, mask_probability=0.5)
    assert len(found) > 8
    originals = [take_apart(SINGLES, row, PIECES)[0] for row in range(3)]
    for (text,) in found:
        (original,) = (one for one in originals if len(one) == len(text) and agrees(text, one))
        assert text != original


def agrees(text: list[list[int]], original: list[list[int]]) -> bool:
    return all(word in ([MASK], before) for word, before in zip(text, original, strict=True))


def test_an_n_gram_is_words_in_sequence_and_whole() -> None:
    found = copies_of(SINGLES, ngram_probability=1.0, num_copies=8)
    originals = [take_apart(SINGLES, row, PIECES)[0] for row in range(3)]
    assert len(found) > 10
    for (text,) in found:
        assert any(
            text == one[start : start + len(text)]
            for one in originals
            for start in range(len(one) - len(text) + 1)
        )


def test_a_swapped_span_is_of_an_example_of_the_same_class() -> None:
    found = copies_of(SINGLES, swap_probability=1.0, num_copies=30)
    of_class_0 = {10, 11, 101, 12, 13, 14, 30, 31, 32, 33}
    mixed = 0
    for (text,) in found:
        pieces = set(flat(text))
        assert pieces <= of_class_0 or pieces <= {20, 21, 22, 102, 103}
        mixed += bool(pieces & {10, 11, 12, 13, 14}) and bool(pieces & {30, 31, 32, 33})
    assert mixed > 5


def test_a_pair_is_changed_in_one_text_or_in_both() -> None:
    found = copies_of(PAIRS, mask_probability=0.6, num_copies=40)
    changed = {tuple(MASK in flat(text) for text in copy) for copy in found}
    assert changed == {(True, False), (False, True), (True, True)}


def test_no_copy_comes_twice_or_equals_what_is_not_wanted() -> None:
    found = copies_of(SINGLES, mask_probability=0.3, ngram_probability=0.5, num_copies=50)
    keys = [key_of(copy) for copy in found]
    assert len(set(keys)) == len(keys)
    originals = {key_of(take_apart(SINGLES, row, PIECES)) for row in range(3)}
    assert not originals & set(keys)


def test_copies_depend_on_the_seed_alone() -> None:
    one, again, other = (copies_of(SINGLES, mask_probability=0.4, seed=seed) for seed in (1, 1, 2))
    assert one == again != other


def test_a_copy_that_is_too_long_is_not_made() -> None:
    found = copies_of(SINGLES, max_length=7, swap_probability=1.0, num_copies=50)
    lengths = [len(put_together(copy, PIECES)[0]) for copy in found]
    assert max(lengths) == 7
    assert any(
        len(put_together(copy, PIECES)[0]) > 7
        for copy in copies_of(SINGLES, swap_probability=1.0, num_copies=50)
    )


def test_scores_are_no_classes() -> None:
    labels = np.array([0.1, 0.2, 0.3], dtype=np.float32)
    scores = TokenTable(
        SINGLES.example_ids_R, SINGLES.offsets, SINGLES.input_ids, SINGLES.second_starts_R, labels
    )
    found = copies_of(scores, swap_probability=1.0, num_copies=30)
    assert any({20, 21} & set(flat(text)) and {10, 12} & set(flat(text)) for (text,) in found)


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_every_copy_is_an_example_of_its_task(seed: int, mask: float, swap: float, ngram: float) -> None:
    changes = {"mask_probability": mask, "swap_probability": swap, "ngram_probability": ngram, "seed": seed}
    for copy in copies_of(PAIRS, max_length=16, **changes):
        assert len(copy) == 2
        assert all(text and all(word for word in text) for text in copy)
        assert set(flat(copy[0]) + flat(copy[1])) <= set(PAIRS.input_ids.tolist()) - {CLS, SEP} | {MASK}


def test_spans_come_from_examples_with_the_same_set_of_labels() -> None:
    texts = ([10, 10, 10], [20, 20, 20], [30, 30, 30], [40, 40, 40])
    table = replace(
        table_of(*(([text], 0) for text in texts)),
        labels_R=np.array([[1, 1], [1, 0], [1, 1], [0, 0]], dtype=np.float32),
    )
    found = {frozenset(flat(text)) for (text,) in copies_of(table, num_copies=20, swap_probability=1)}
    assert {10, 30} in found
    assert not any(one & {20, 40} and len(one) > 1 for one in found)
