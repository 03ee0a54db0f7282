"""Varied copies of tokenised examples, which a teacher can label: other words, spans of other examples, n-grams.

After Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT into Simple Neural Networks" (arXiv 1903.12136,
section 3.3). Their replacement of a word by another of the same part of speech is left out, as it needs a tagger; a
span of another example of the same class takes its place, and words that a masked-language model finds likely.

A word is a list of token ids: its first piece and the pieces that continue it. A text is a list of words.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pkd_core.data.token_table import TokenTable
from pkd_core.errors import ModelError

Word = list[int]
Text = list[Word]
Example = tuple[Text, ...]
# Of one example: the ids of other words that may replace a word, by the position of its token.
LikelyWords = Mapping[int, Sequence[int]]

_MAX_NGRAM = 5
_MAX_SPAN = 5
# Attempts for one copy that is new: a text of two words has few variants.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Pieces:
    """What of a tokenizer's vocabulary is needed to take examples apart and to put them together.

    Attributes:
        cls: Id of [CLS].
        sep: Id of [SEP].
        mask: Id of [MASK].
        continues: Whether each id continues a word; shape (vocabulary,).
        is_word: Whether each id begins a word and is made of letters; shape (vocabulary,).
    """

    cls: int
    sep: int
    mask: int
    continues: npt.NDArray[np.bool_]
    is_word: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, tokenizer: Any) -> "Pieces":
        """Read the vocabulary of a transformers tokenizer of BERT's.

        Raises:
            ModelError: It has no [CLS], [SEP] or [MASK].
        """
        vocabulary = tokenizer.get_vocab()
        if not {"[CLS]", "[SEP]", "[MASK]"} <= vocabulary.keys():
            raise ModelError(
                "varied copies need a tokenizer with [CLS], [SEP] and [MASK], and this one lacks one of them; set "
                "transfer.num_copies=0."
            )
        continues, is_word = np.zeros((2, max(vocabulary.values()) + 1), dtype=bool)
        continues[[number for word, number in vocabulary.items() if word.startswith("##")]] = True
        is_word[[number for word, number in vocabulary.items() if word.isalpha()]] = True
        return cls(vocabulary["[CLS]"], vocabulary["[SEP]"], vocabulary["[MASK]"], continues, is_word)


@dataclass(frozen=True)
class Variation:
    """How many copies of each example, and how they differ from it; each changes one text of a pair, or both.

    Attributes:
        num_copies: Copies of each example; fewer where it has not so many variants.
        mlm_probability: Of replacing a word by a likely one, where there are any.
        mask_probability: Of replacing a word by [MASK].
        swap_probability: Of replacing a span of up to 5 words by one of another example of the same class.
        ngram_probability: Of keeping only 1 to 5 words in sequence.
        seed: The same seed gives the same copies.
    """

    num_copies: int
    mlm_probability: float
    mask_probability: float
    swap_probability: float
    ngram_probability: float
    seed: int


def vary(
    table: TokenTable,
    variation: Variation,
    pieces: Pieces,
    max_length: int,
    seen: set[int],
    likely_words: Iterable[LikelyWords] = itertools.repeat({}),
) -> Iterator[Example]:
    """Yield varied copies of each example, in the table's order.

    Args:
        table: Labelled examples. A class is a label, or a set of several; scores are none: spans then come from any
            example.
        variation: How many copies, and how they differ.
        pieces: The vocabulary with which the table was made.
        max_length: The most tokens of an example.
        seen: Keys of examples that are not wanted; those of the copies are added.
        likely_words: Those of each example, in the table's order; none by default.
    """
    generator = np.random.default_rng(variation.seed)
    classes_R = _classes(table)
    members = {key: np.flatnonzero(classes_R == key) for key in np.unique(classes_R).tolist()}
    for row, (label, likely) in enumerate(zip(classes_R.tolist(), likely_words, strict=False)):
        example = take_apart(table, row, pieces)
        for _ in range(variation.num_copies):
            for _attempt in range(_ATTEMPTS):
                other = int(members[label][generator.integers(len(members[label]))])
                replaced = _with_likely_words(example, likely, variation.mlm_probability, generator)
                spare = take_apart(table, other, pieces)
                copy = _copy(example, replaced, spare, variation, pieces, generator)
                if _length(copy) <= max_length and key_of(copy) not in seen:
                    seen.add(key_of(copy))
                    yield copy
                    break


def take_apart(table: TokenTable, row: int, pieces: Pieces) -> Example:
    """Return the texts of a row as words, without [CLS] and [SEP]."""
    ids = table.input_ids[table.offsets[row] : table.offsets[row + 1]].tolist()
    second_start = int(table.second_starts_R[row])
    texts = [ids[1 : second_start - 1], ids[second_start:-1]] if second_start < len(ids) else [ids[1:-1]]
    return tuple(_words(text, pieces) for text in texts)


def put_together(example: Example, pieces: Pieces) -> tuple[list[int], int]:
    """Return an example's token ids, and the position of its second segment (the length if it has one)."""
    ids, second_start = [pieces.cls], 0
    for text in example:
        ids += [piece for word in text for piece in word] + [pieces.sep]
        second_start = second_start or len(ids)
    return ids, second_start


def key_of(example: Example) -> int:
    """Return a 64-bit hash of the tokens of each text, by which equal examples are found: Python salts no integers."""
    return hash(tuple(tuple(piece for word in text for piece in word) for text in example))


def _words(ids: Sequence[int], pieces: Pieces) -> Text:
    words: Text = []
    for piece in ids:
        if words and pieces.continues[piece]:
            words[-1].append(piece)
        else:
            words.append([piece])
    return words


def _classes(table: TokenTable) -> npt.NDArray[np.int64]:
    labels_R = table.labels_R
    assert labels_R is not None, "the training split has labels"
    if labels_R.ndim == 2:
        _, sets_R = np.unique(labels_R, axis=0, return_inverse=True)
        return sets_R.astype(np.int64)
    is_class = np.issubdtype(labels_R.dtype, np.integer)
    return labels_R.astype(np.int64) if is_class else np.zeros(len(table), dtype=np.int64)


def _with_likely_words(
    example: Example, likely: LikelyWords, probability: float, generator: np.random.Generator
) -> Example:
    """Return the example with some words replaced by one of their likely words, each of which is drawn as often."""
    texts: list[Text] = []
    position = 1  # after [CLS]
    for text in example:
        texts.append([])
        for word in text:
            others = likely.get(position, ())
            is_replaced = len(others) > 0 and generator.random() < probability
            texts[-1].append([others[int(generator.integers(len(others)))]] if is_replaced else word)
            position += len(word)
        position += 1  # [SEP]
    return tuple(texts)


def _copy(
    example: Example,
    replaced: Example,
    other: Example,
    variation: Variation,
    pieces: Pieces,
    generator: np.random.Generator,
) -> Example:
    """Vary one text or both, beginning with the replaced words; the other text of a pair stays as it is."""
    changed = (
        [True] if len(example) == 1 else [[True, False], [False, True], [True, True]][generator.integers(3)]
    )
    return tuple(
        _vary_text(start, spare, variation, pieces, generator) if is_changed else text
        for text, start, spare, is_changed in zip(example, replaced, other, changed, strict=True)
    )


def _vary_text(
    text: Text, spare: Text, variation: Variation, pieces: Pieces, generator: np.random.Generator
) -> Text:
    if not text:
        return text
    if spare and generator.random() < variation.swap_probability:
        text = _swapped(text, spare, generator)
    if generator.random() < variation.ngram_probability:
        text = _span(text, _MAX_NGRAM, generator)
    is_masked = generator.random(len(text)) < variation.mask_probability
    return [[pieces.mask] if masked else word for word, masked in zip(text, is_masked.tolist(), strict=True)]


def _span(text: Text, longest: int, generator: np.random.Generator) -> Text:
    length = int(generator.integers(1, min(longest, len(text)) + 1))
    start = int(generator.integers(len(text) - length + 1))
    return text[start : start + length]


def _swapped(text: Text, spare: Text, generator: np.random.Generator) -> Text:
    """Return the text with a span of it replaced by a span of another one."""
    length = int(generator.integers(1, min(_MAX_SPAN, len(text)) + 1))
    start = int(generator.integers(len(text) - length + 1))
    return [*text[:start], *_span(spare, _MAX_SPAN, generator), *text[start + length :]]


def _length(example: Example) -> int:
    return 1 + sum(1 + sum(map(len, text)) for text in example)
