"""RACE: reading comprehension with four possible answers to each question, read strictly from its own files.

data_raw/RACE/{train,dev,test}/{middle,high}/*.txt each hold a JSON object of a text and its questions:
"article", "questions", "options" (four for each question), "answers" (a letter for each) and "id".
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pkd_core.data.task import Split, Task
from pkd_core.data.tsv import Example
from pkd_core.errors import DataError, quoted, reason

LETTERS = ("A", "B", "C", "D")
LEVELS = ("middle", "high")
_KEYS = ("article", "questions", "options", "answers")
_TEXTS = ("article", "question", *LETTERS)


def _split(name: str, folder: str, label: str | None = "answers", required: bool = True) -> Split:
    submission = None if label else f"RACE-{name}.tsv"
    return Split(name, f"RACE/{folder}", _TEXTS, label, required=required, submission=submission)


# The first dev split, of both levels, selects the best epoch.
RACE = Task(
    "RACE",
    (
        _split("train", "train"),
        _split("dev", "dev"),
        *(_split(f"dev-{level}", f"dev/{level}") for level in LEVELS),
        _split("test", "test", label=None, required=False),
    ),
    LETTERS,
    ("accuracy",),
    num_choices=len(LETTERS),
)


def question_files(folder: Path) -> list[Path]:
    """Return the files of a split's folder: of both levels, or of one."""
    return sorted(folder.rglob("*.txt"))


def read_questions(folder: Path, split: Split) -> Iterator[Example]:
    """Yield every question of a split, numbered in the order of the files' names: article, question, four options.

    Raises:
        DataError: There is none, or a file is not of RACE's form; names the file.
    """
    number = 0
    for path in question_files(folder):
        for texts, label in _questions(path):
            yield Example(number, texts, label if split.label is not None else None)
            number += 1
    if not number:
        raise DataError(
            f"{folder}: expected RACE's files of questions (middle/*.txt and high/*.txt), got none; unpack RACE there"
        )


def sequences(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pair of texts of each option: the article, and the question with that option.

    >>> sequences(("It rained.", "The weather was _ .", "dry", "wet", "hot", "cold"))[1]
    ('It rained.', 'The weather was wet .')
    >>> sequences(("It rained.", "How was it?", "dry", "wet", "hot", "cold"))[0]
    ('It rained.', 'How was it? dry')
    """
    article, question, *options = texts
    if "_" in question:
        return [(article, question.replace("_", option)) for option in options]
    return [(article, f"{question} {option}") for option in options]


def _questions(path: Path) -> Iterator[tuple[tuple[str, ...], int]]:
    content = _read(path)
    article, questions, options, answers = (content[key] for key in _KEYS)
    if not isinstance(article, str) or not article.strip():
        raise _error(path, "an article", article)
    for name, values in zip(_KEYS[1:], (questions, options, answers), strict=True):
        if not isinstance(values, list) or len(values) != len(questions):
            raise _error(path, f"a list of {name}, as many as questions", values)
    for question, four, answer in zip(questions, options, answers, strict=True):
        if not isinstance(question, str):
            raise _error(path, "a question", question)
        if not (
            isinstance(four, list) and len(four) == len(LETTERS) and all(isinstance(x, str) for x in four)
        ):
            raise _error(path, "four options for each question", four)
        if answer not in LETTERS:
            raise _error(path, "an answer of A, B, C or D", answer)
        yield (article, question, *four), LETTERS.index(answer)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: expected a JSON object of RACE, got {reason(error)}; fix the file"
        ) from error
    if not isinstance(content, dict) or any(key not in content for key in _KEYS):
        raise _error(path, f"a JSON object with {', '.join(_KEYS)}", content)
    return content


def _error(path: Path, expected: str, got: object) -> DataError:
    return DataError(f"{path}: expected {expected}, got {quoted(got)}; fix the file")
