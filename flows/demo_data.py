"""The demo's task: generated sentences with a sentiment, few of which have labels.

A sentence is about one or two things, such as "although the soup was not very good , nobody said that the view seemed
dull .", and its label is the sentiment of the main clause: the one without "although", or the one after "but". A
negation inverts its clause's sentiment, and two negations cancel. Single words predict little: the model must combine
which clause is the main one, its adjective, and its negations, which takes several layers.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pkd_core.data.custom_task import TASK_FILE
from pkd_core.store.atomic import atomic_folder

DEMO_TASK = "Demo"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_THINGS = _words(
    "soup bread salad waiter cook music room table wine dessert coffee menu garden view staff price fish steak cake"
    " service pasta pizza cheese tea beer juice window chair lamp door kitchen terrace host owner band song light"
    " carpet sauce plate balcony breakfast butter curtain fountain"
)
_GOOD = _words(
    "good great lovely superb tasty pleasant charming splendid delightful fine warm fresh honest clever funny gentle"
    " bright polite elegant cheerful generous graceful crisp tender"
)
_BAD = _words(
    "bad awful dreadful poor bland rude dull shabby dismal stale cold noisy silly clumsy boring bitter gloomy careless"
    " ugly greasy hopeless sour tiresome dirty"
)
_VERBS = ("was", "seemed", "felt", "looked", "appeared")
_HEDGES = ("very", "really", "quite", "rather", "truly")
_NEGATIONS = ("not", "never", "hardly")
_DENIALS = ("nobody said that", "i doubt that", "it is false that")
_ASIDES = (
    "on monday",
    "last night",
    "that day",
    "at noon",
    "in spring",
    "this time",
    "after the rain",
    "for once",
)


@dataclass(frozen=True)
class Adjectives:
    """Adjectives of one sentiment and of the other."""

    good: tuple[str, ...]
    bad: tuple[str, ...]


# The demo's pretrained model has seen the first half, and its task has the other.
PRETRAINING_WORDS = Adjectives(_GOOD[:12], _BAD[:12])
TASK_WORDS = Adjectives(_GOOD[12:], _BAD[12:])

_TASK_TOML = """\
texts = ["sentence"]
label = "label"
labels = ["negative", "positive"]
metrics = ["accuracy", "f1"]
index = "index"
"""
_CONNECTIVES = ("the", "although", "but", ",", ".")
_LABELS = ("negative", "positive")
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_demo_task(
    data_raw: Path, seed: int, num_train: int, num_dev: int, num_test: int, num_unlabelled: int
) -> None:
    """Write `data_raw/Demo`: task.toml, train.tsv, dev.tsv, and test.tsv and unlabelled.tsv without labels.

    All of it is written or nothing.

    The same arguments give the same bytes. No sentence comes twice, and each split has as many positive sentences as
    negative ones.
    """
    rng = random.Random(seed)
    seen: set[str] = set()
    sizes = (num_train, num_dev, num_test, num_unlabelled)
    train, dev, test, unlabelled = (draw_sentences(rng, count, seen, TASK_WORDS) for count in sizes)
    with atomic_folder(data_raw / DEMO_TASK) as folder:
        (folder / TASK_FILE).write_text(_TASK_TOML, encoding="utf-8")
        for name, sentences in (("train", train), ("dev", dev)):
            rows = [(text, _LABELS[good]) for text, good in sentences]
            _write_tsv(folder / f"{name}.tsv", ("sentence", "label"), rows)
        numbered = [(str(number), text) for number, (text, _) in enumerate(test)]
        _write_tsv(folder / "test.tsv", ("index", "sentence"), numbered)
        _write_tsv(folder / "unlabelled.tsv", ("sentence",), [(text,) for text, _ in unlabelled])


def draw_sentences(
    rng: random.Random, count: int, seen: set[str], words: Adjectives
) -> list[tuple[str, bool]]:
    """Return `count` sentences that are not in `seen`, half of them positive, and add them to it."""
    wanted = {False: count // 2, True: count - count // 2}
    drawn: list[tuple[str, bool]] = []
    while len(drawn) < count:
        sentence, is_good = _sentence(rng, words)
        if wanted[is_good] and sentence not in seen:
            wanted[is_good] -= 1
            seen.add(sentence)
            drawn.append((sentence, is_good))
    return drawn


def _sentence(rng: random.Random, words: Adjectives) -> tuple[str, bool]:
    first, second = rng.sample(_THINGS, 2)
    main, is_good = _clause(rng, first, words)
    if rng.random() < 0.3:
        return f"{main} .", is_good
    other, _ = _clause(rng, second, words)
    form = rng.choice(("although {other} , {main} .", "{main} although {other} .", "{other} but {main} ."))
    return form.format(main=main, other=other), is_good


def _clause(rng: random.Random, thing: str, adjectives: Adjectives) -> tuple[str, bool]:
    is_good = rng.random() < 0.5
    words = ["the", thing, rng.choice(_VERBS)]
    adjective = rng.choice(adjectives.good if is_good else adjectives.bad)
    if rng.random() < 0.25:
        words.append(rng.choice(_NEGATIONS))
        is_good = not is_good
    if rng.random() < 0.3:
        words.append(rng.choice(_HEDGES))
    words.append(adjective)
    if rng.random() < 0.15:
        words.append(rng.choice(_ASIDES))
    if rng.random() < 0.15:
        words.insert(0, rng.choice(_DENIALS))
        is_good = not is_good
    return " ".join(words), is_good


def vocabulary() -> list[str]:
    """Return a WordPiece vocabulary: special tokens, letters, and every word that a sentence may have."""
    phrases = (*_THINGS, *_GOOD, *_BAD, *_VERBS, *_HEDGES, *_NEGATIONS, *_DENIALS, *_ASIDES, *_CONNECTIVES)
    words = sorted({word for phrase in phrases for word in phrase.split()})
    letters = sorted(set("".join(words)))
    pieces = [*letters, *(f"##{letter}" for letter in letters), *words]
    return list(dict.fromkeys([*_SPECIAL_TOKENS, *pieces]))


def _write_tsv(path: Path, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in (header, *rows)), encoding="utf-8", newline="")
