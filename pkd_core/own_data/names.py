"""Usual names of columns and of splits."""

import re

PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("texta", "textb"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("query", "passage"),
    ("query", "document"),
)
TEXTS = (
    *("text", "texts", "sentence", "utterance", "content", "review", "comment", "tweet", "message", "body"),
    *("document", "query", "question", "comment_text", "review_text", "review_body", "description", "input"),
    *("prompt", "post", "headline", "abstract", "summary", "title", "subject", "passage", "context"),
)
LABELS = (
    *("label", "labels", "class", "category", "categories", "intent", "target", "sentiment", "gold_label"),
    *("topic", "tag", "tags", "emotion", "emotions", "rating", "stars", "score", "polarity", "y", "output"),
    *("label_text", "class_name", "is_duplicate", "toxic", "spam", "annotation"),
)
SPLITS = {
    "train": ("train", "training"),
    "dev": ("dev", "development", "valid", "validation", "val", "eval"),
    "test": ("test", "testing", "holdout", "heldout"),
    "unlabelled": ("unlabelled", "unlabeled", "unsupervised", "unsup"),
}
_SPLIT_COLUMNS = ("split", "set", "subset", "fold", "partition")
_IDS = ("", "id", "idx", "index", "row", "row_id", "uid", "guid", "uuid", "pairid", "level_0", "unnamed: 0")


def simple_name(column: str) -> str:
    """Return a column's name in the form of the lists above: the last part of "a.b", in small letters.

    >>> simple_name("data.Gold Label")
    'gold_label'
    """
    return column.rpartition(".")[2].strip().casefold().replace(" ", "_").replace("-", "_")


def is_known_name(column: str) -> bool:
    """Return whether a column's name is a usual one."""
    names = {*TEXTS, *LABELS, *_SPLIT_COLUMNS, *(name for pair in PAIRS for name in pair)}
    return bool(column) and (simple_name(column) in names or is_id(column))


def is_id(column: str) -> bool:
    """Return whether a column numbers the rows, by its name.

    >>> is_id("Review ID"), is_id("Unnamed: 0"), is_id("valid")
    (True, True, False)
    """
    name = column.strip().casefold()
    return name in _IDS or re.fullmatch(r".*[_ ]id", name) is not None


def is_split_column(column: str) -> bool:
    """Return whether a column says which rows are train and test, by its name."""
    return simple_name(column) in _SPLIT_COLUMNS


def split_of(name: str) -> str | None:
    """Return the split that a value or a file's name without its suffix means; None if it means none.

    >>> split_of("validation"), split_of("train-00000-of-00002"), split_of("my_test"), split_of("latest")
    ('dev', 'train', 'test', None)
    """
    words = re.split(r"[^a-z]+", name.casefold())
    for split, names in SPLITS.items():
        if set(words) & set(names):
            return split
    return None
