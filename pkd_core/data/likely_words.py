"""Words that are likely in the place of others, as a masked-language model predicts them from the rest of an example.

After TinyBERT (Jiao et al. 2020, arXiv 1909.10351, algorithm 1), which masks one word at a time. Here every 7th word is
masked at once, about as many as when such models are pretrained: an example is read 7 times at most, however long.
Words of several pieces are kept; TinyBERT looks up their neighbours among GloVe's vectors.

Shape suffixes: W masked words, K likely words for each.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pkd_core.data.augmentation import LikelyWords, Pieces
from pkd_core.data.token_table import Rows, TokenTable

# TinyBERT's.
NUM_LIKELY = 15
_STEP = 7
# Of a batch, which has up to 7 times as many, and a few more by its last row.
_TOKENS = 1024

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MaskedTexts:
    """Examples in which some words are [MASK].

    Attributes:
        table: The examples; their ids count from 0.
        examples_W: The example of each masked word.
        positions_W: The position of its token in that example.
        words_W: The id that stood there.
        rows_W: The row that the example was made of.
    """

    table: TokenTable
    examples_W: Integers
    positions_W: Integers
    words_W: Integers
    rows_W: Integers


# Returns the ids (W, K) of the words that are most likely in place of each masked word, but for that word itself.
PredictWords = Callable[[MaskedTexts], Integers]


def predict_likely_words(table: TokenTable, pieces: Pieces, predict: PredictWords) -> Iterator[LikelyWords]:
    """Yield the likely words of each row, in the table's order: for each word of letters that is one piece.

    Args:
        table: The examples.
        pieces: The vocabulary with which the table was made.
        predict: The model; called for some rows at a time.
    """
    for rows in _windows(table):
        likely: list[dict[int, list[int]]] = [{} for _ in rows]
        masked = mask_words(table, rows, pieces)
        if len(masked.words_W):
            places = zip((masked.rows_W - rows[0]).tolist(), masked.positions_W.tolist(), strict=True)
            for (row, position), words in zip(places, predict(masked).tolist(), strict=True):
                likely[row][position] = words
        yield from likely


def mask_words(table: TokenTable, rows: Rows, pieces: Pieces) -> MaskedTexts:
    """Return up to 7 forms of each row, in which every 7th of its words of letters of one piece is masked.

    Each of these words is masked in one form; a row that has none of them has no form.
    """
    texts: list[npt.NDArray[np.int32]] = []
    lengths, second_starts = [0], list[int]()
    examples, positions, words, rows_of = (list[Integers]() for _ in range(4))
    for row in rows.tolist():
        ids = table.input_ids[table.offsets[row] : table.offsets[row + 1]]
        found = np.flatnonzero(pieces.is_word[ids[:-1]] & ~pieces.continues[ids[1:]])
        num_forms = min(_STEP, len(found))
        form_of_word = np.arange(len(found)) % _STEP
        forms = np.tile(ids, (num_forms, 1))
        forms[form_of_word, found] = pieces.mask
        examples.append(len(second_starts) + form_of_word)
        positions.append(found)
        words.append(ids[found].astype(np.int64))
        rows_of.append(np.full_like(found, row))
        texts.append(forms.ravel())
        lengths += [len(ids)] * num_forms
        second_starts += [int(table.second_starts_R[row])] * num_forms
    masked = TokenTable(
        example_ids_R=np.arange(len(second_starts)),
        offsets=np.cumsum(lengths),
        input_ids=np.concatenate(texts),
        second_starts_R=np.array(second_starts, dtype=np.int32),
        labels_R=None,
    )
    examples_W, positions_W, words_W, rows_W = map(np.concatenate, (examples, positions, words, rows_of))
    return MaskedTexts(masked, examples_W, positions_W, words_W, rows_W)


def _windows(table: TokenTable) -> Iterator[Rows]:
    """Yield all rows in sequence, so many at a time that they have some 1,024 tokens."""
    windows_R = table.offsets[:-1] // _TOKENS
    starts = np.flatnonzero(np.diff(windows_R, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(table)], strict=True):
        yield np.arange(start, stop)
