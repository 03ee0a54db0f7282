"""Words of copies are replaced by those that a model finds likely there; it reads each text 7 times at most."""

import numpy as np
import pytest
from test_augmentation import CLS, MASK, PAIRS, PIECES, SEP, SINGLES, copies_of, flat, table_of

from pkd_core.data import likely_words
from pkd_core.data.augmentation import LikelyWords
from pkd_core.data.likely_words import Integers, MaskedTexts, mask_words, predict_likely_words
from pkd_core.data.token_table import TokenTable

# Of one piece and of letters in SINGLES and PAIRS, by row and position.
WORDS = [{1: 10, 4: 12, 5: 13}, {1: 20, 2: 21}, {1: 30, 2: 31, 3: 32, 4: 33}]
WORDS_OF_PAIRS = [{1: 10, 2: 11, 3: 12, 5: 20, 6: 21}, {1: 30, 2: 31, 5: 41, 6: 42, 7: 43}]
LONG = table_of(([[*range(50, 70)]], 0))


def two_next(masked: MaskedTexts) -> Integers:
    """Predict, in place of a word, the two numbers 30 and 31 above it."""
    return masked.words_W[:, None] + np.array([30, 31])


def likely_in(table: TokenTable) -> list[LikelyWords]:
    return list(predict_likely_words(table, PIECES, two_next))


@pytest.mark.parametrize(("table", "words"), [(SINGLES, WORDS), (PAIRS, WORDS_OF_PAIRS)])
def test_each_word_of_letters_and_of_one_piece_has_likely_words(
    table: TokenTable, words: list[dict[int, int]]
) -> None:
    assert likely_in(table) == [
        {position: [word + 30, word + 31] for position, word in row.items()} for row in words
    ]


def test_every_seventh_word_is_masked_at_once_and_each_word_once() -> None:
    masked = mask_words(LONG, np.array([0]), PIECES)
    texts = masked.table.input_ids.reshape(7, 22)
    assert [np.flatnonzero(text == MASK).tolist() for text in texts] == [
        [*range(first, 21, 7)] for first in range(1, 8)
    ]
    kept = np.where(texts == MASK, LONG.input_ids, texts)
    assert (kept == LONG.input_ids).all()
    assert masked.table.offsets.tolist() == [*range(0, 155, 22)]
    found = zip(masked.examples_W.tolist(), masked.positions_W.tolist(), masked.words_W.tolist(), strict=True)
    assert list(found) == [(number % 7, number + 1, 50 + number) for number in range(20)]


def test_a_masked_text_has_the_segments_of_its_row() -> None:
    masked = mask_words(PAIRS, np.array([0, 1]), PIECES)
    assert masked.table.second_starts_R.tolist() == [5] * 5 + [4] * 5
    assert masked.rows_W.tolist() == [0] * 5 + [1] * 5
    assert masked.table.input_ids[masked.table.offsets[5] :][:9].tolist() == [
        *(CLS, MASK, 31, SEP),
        *(40, 41, 42, 43, SEP),
    ]


def test_rows_without_such_words_have_no_likely_words() -> None:
    table = table_of(([[14, 14]], 0), ([[10, 101]], 0))
    assert likely_in(table) == [{}, {}]


def test_likely_words_do_not_depend_on_the_rows_that_are_masked_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [([[50 + (row * 7 + word) % 30 for word in range(1 + row % 9)]], 0) for row in range(40)]
    table = table_of(*rows)
    together = likely_in(table)
    calls = []

    def counted(masked: MaskedTexts) -> Integers:
        calls.append(np.unique(masked.rows_W).tolist())
        return two_next(masked)

    monkeypatch.setattr(likely_words, "_TOKENS", 20)
    assert list(predict_likely_words(table, PIECES, counted)) == together
    assert [row for call in calls for row in call] == [*range(40)]
    assert len(calls) > 5


def test_a_probability_of_one_replaces_each_word_that_has_likely_words() -> None:
    found = copies_of(SINGLES, likely=likely_in(SINGLES), mlm_probability=1.0, num_copies=20)
    of_second_row = {tuple(flat(text)) for (text,) in found if flat(text)[-2:] == [102, 103]}
    assert of_second_row == {(first, second, 22, 102, 103) for first in (50, 51) for second in (51, 52)}
    for (text,) in found:
        ids = flat(text)
        if ids[2:3] == [101]:
            assert (ids[1], ids[-1]) == (11, 14)
            assert (ids[0] in (40, 41), ids[3] in (42, 43), ids[4] in (43, 44)) == (True, True, True)


def test_a_probability_of_zero_replaces_no_word() -> None:
    assert copies_of(SINGLES, likely=likely_in(SINGLES), mlm_probability=0) == []
    found = copies_of(SINGLES, likely=likely_in(SINGLES), mask_probability=0.5)
    assert {piece for (text,) in found for piece in flat(text)} <= {*SINGLES.input_ids.tolist(), MASK}


def test_without_likely_words_the_copies_are_those_of_a_probability_of_zero() -> None:
    changes = {"mask_probability": 0.3, "swap_probability": 0.3, "ngram_probability": 0.2}
    with_probability = copies_of(SINGLES, likely=[{}, {}, {}], mlm_probability=0.5, **changes)
    assert with_probability == copies_of(SINGLES, **changes)


def test_about_as_many_words_are_replaced_as_the_probability_says() -> None:
    rows = [([[50 + (row * 7 + word) % 30 for word in range(10)]], 0) for row in range(60)]
    table = table_of(*rows)
    found = copies_of(table, likely=likely_in(table), mlm_probability=0.3, num_copies=5)
    replaced = np.mean([piece >= 80 for (text,) in found for piece in flat(text)])
    assert 0.27 < replaced < 0.33
    likely = [piece - 30 for (text,) in found for piece in flat(text) if piece >= 80]
    assert min(likely) == 50
    assert max(likely) == 80


def test_one_text_of_a_pair_is_replaced_or_both() -> None:
    found = copies_of(PAIRS, likely=likely_in(PAIRS), mlm_probability=1.0, num_copies=40)
    first = (PAIRS.input_ids[1:4].tolist(), PAIRS.input_ids[5:7].tolist())
    kept = {tuple(flat(text) == one for text, one in zip(copy, first, strict=True)) for copy in found[:20]}
    assert kept == {(True, False), (False, True), (False, False)}


def test_replaced_words_depend_on_the_seed_alone() -> None:
    one, again, other = (
        copies_of(SINGLES, likely=likely_in(SINGLES), mlm_probability=0.5, seed=seed) for seed in (1, 1, 2)
    )
    assert one == again != other


def test_a_replaced_copy_comes_once_and_equals_no_text_that_is_not_wanted() -> None:
    # The second row is one of the two texts that the first may become.
    table = table_of(([[50]], 0), ([[80]], 0))
    found = copies_of(table, likely=likely_in(table), mlm_probability=1.0, num_copies=10)
    assert sorted(flat(text) for (text,) in found) == [[81], [110], [111]]
