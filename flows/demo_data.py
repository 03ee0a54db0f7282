"""The demo's task and model: generated sentences with a sentiment, and a small BERT with random weights.

A sentence is about one or two things, such as "although the soup was not very good , nobody said that the view seemed
dull .", and its label is the sentiment of the main clause: the one without "although", or the one after "but". A
negation inverts its clause's sentiment, and two negations cancel. Single words predict little: the model must combine
which clause is the main one, its adjective, and its negations, which takes several layers.
"""

import random
from collections import Counter
from collections.abc import Sequence
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

_TASK_TOML = """\
texts = ["sentence"]
label = "label"
labels = ["negative", "positive"]
metrics = ["accuracy", "f1"]
index = "index"
"""
_LABELS = ("negative", "positive")
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_demo_task(data_raw: Path, seed: int, num_train: int, num_dev: int, num_test: int) -> None:
    """Write `data_raw/Demo` with its task.toml, train.tsv, dev.tsv and an unlabelled test.tsv; all of it or nothing.

    The same arguments give the same bytes. No sentence comes twice, and each split has as many positive sentences as
    negative ones.
    """
    rng = random.Random(seed)
    seen: set[str] = set()
    train, dev, test = (_draw(rng, count, seen) for count in (num_train, num_dev, num_test))
    with atomic_folder(data_raw / DEMO_TASK) as folder:
        (folder / TASK_FILE).write_text(_TASK_TOML, encoding="utf-8")
        for name, sentences in (("train", train), ("dev", dev)):
            rows = [(text, _LABELS[good]) for text, good in sentences]
            _write_tsv(folder / f"{name}.tsv", ("sentence", "label"), rows)
        numbered = [(str(number), text) for number, (text, _) in enumerate(test)]
        _write_tsv(folder / "test.tsv", ("index", "sentence"), numbered)


def write_demo_model(
    folder: Path, data_raw: Path, seed: int, num_layers: int = 4, hidden_size: int = 64
) -> None:
    """Write a BERT with random weights, and a WordPiece tokenizer learnt from the demo task's training sentences.

    All of it is written or nothing. The same arguments give the same bytes. There is no dropout: with so few weights,
    and no example seen often, it only slows the training down.

    Args:
        folder: Where config.json, model.safetensors, tokenizer.json, tokenizer_config.json and vocab.txt go.
        data_raw: Folder that `write_demo_task` wrote to.
        seed: Of the weights.
        num_layers: Depth.
        hidden_size: Width D, a multiple of 32.
    """
    import torch  # takes seconds, and a demo that is there needs neither
    from transformers import BertConfig, BertModel, BertTokenizer

    lines = (data_raw / DEMO_TASK / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    vocabulary = _learn_vocabulary([line.split("\t")[0] for line in lines])
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=hidden_size // 32,
        intermediate_size=4 * hidden_size,
        max_position_embeddings=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config)
    tokenizer = BertTokenizer(vocab={token: place for place, token in enumerate(vocabulary)})
    with atomic_folder(folder) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        (partial / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")


def _draw(rng: random.Random, count: int, seen: set[str]) -> list[tuple[str, bool]]:
    """Return `count` sentences that are not in `seen`, half of them positive, and add them to it."""
    wanted = {False: count // 2, True: count - count // 2}
    drawn: list[tuple[str, bool]] = []
    while len(drawn) < count:
        sentence, is_good = _sentence(rng)
        if wanted[is_good] and sentence not in seen:
            wanted[is_good] -= 1
            seen.add(sentence)
            drawn.append((sentence, is_good))
    return drawn


def _sentence(rng: random.Random) -> tuple[str, bool]:
    first, second = rng.sample(_THINGS, 2)
    main, is_good = _clause(rng, first)
    if rng.random() < 0.3:
        return f"{main} .", is_good
    other, _ = _clause(rng, second)
    form = rng.choice(("although {other} , {main} .", "{main} although {other} .", "{other} but {main} ."))
    return form.format(main=main, other=other), is_good


def _clause(rng: random.Random, thing: str) -> tuple[str, bool]:
    is_good = rng.random() < 0.5
    words = ["the", thing, rng.choice(_VERBS)]
    adjective = rng.choice(_GOOD if is_good else _BAD)
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


def _learn_vocabulary(sentences: list[str]) -> list[str]:
    """Return a WordPiece vocabulary of the sentences' words, the more frequent first, and of their letters.

    The trainer of `tokenizers` breaks ties differently in each process, so its vocabulary would give the same demo
    another fingerprint each time.
    """
    counts = Counter(word for sentence in sentences for word in sentence.split())
    words = sorted(counts, key=lambda word: (-counts[word], word))
    letters = sorted(set("".join(words)))
    pieces = [*letters, *(f"##{letter}" for letter in letters), *words]
    return list(dict.fromkeys([*_SPECIAL_TOKENS, *pieces]))


def _write_tsv(path: Path, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in (header, *rows)), encoding="utf-8", newline="")
