"""Answers to texts as lines: TSV, CSV or JSON, each beside the columns that its example came with."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pkd_core.data.texts import Row
from pkd_core.errors import ConfigError, listed
from pkd_core.evaluation.text_answers import Answer, Kind

_NAMES: Mapping[Kind, tuple[str, ...]] = {
    "classes": ("label", "probability"),
    "multi-label": ("labels", "probabilities"),
    "regression": ("score",),
}

_TO_SPACES = str.maketrans("\t\n\r", "   ")

# The fields of an example, and what the model answers to it.
AnsweredRow = tuple[Row, Answer]


class Lines:
    """Writes a header, where there is one, and a line for each answered example.

    Args:
        columns: Names of the examples' columns.
        kind: What the model answers with.
    """

    def __init__(self, columns: Sequence[str], kind: Kind) -> None:
        names = _NAMES[kind]
        while set(names) & set(columns):
            names = tuple(f"predicted_{name}" for name in names)
        self.columns = tuple(columns)
        self.names = names
        self._kind = kind

    def tsv(self, rows: Sequence[AnsweredRow] | None) -> str:
        """Return lines of TSV; None stands for the header. A tab or line end inside a field becomes a space."""
        return "".join(
            "\t".join(one.translate(_TO_SPACES) for one in fields) + "\n" for fields in self.shown(rows)
        )

    def csv(self, rows: Sequence[AnsweredRow] | None) -> str:
        """Return lines of CSV; None stands for the header."""
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows(self.shown(rows))
        return file.getvalue()

    def json(self, rows: Sequence[AnsweredRow] | None) -> str:
        """Return a line with a JSON object for each example, with complete numbers; None stands for no header."""
        return "".join(
            json.dumps(
                dict(zip((*self.columns, *self.names), (*row, *self._values(answer)), strict=True)),
                ensure_ascii=False,
                default=str,
            )
            + "\n"
            for row, answer in rows or ()
        )

    def shown(self, rows: Sequence[AnsweredRow] | None) -> Iterator[tuple[str, ...]]:
        """Yield the fields of each line as a person reads them."""
        if rows is None:
            yield (*self.columns, *self.names)
        for row, answer in rows or ():
            yield (*map(_shown, row), *_texts(answer))

    def _values(self, answer: Answer) -> tuple[Any, ...]:
        match self._kind:
            case "regression":
                return (answer.score,)
            case "multi-label":
                return list(answer.labels), dict(answer.probabilities)
            case "classes":
                return next(iter(answer.labels.items()))


Form = Callable[[Lines, Sequence[AnsweredRow] | None], str]

_FORMS: Mapping[str, Form] = {
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), Lines.json),
    **dict.fromkeys((".tsv", ".txt", ""), Lines.tsv),
    ".csv": Lines.csv,
}


def form_of(output: Path | None, as_json: bool) -> Form:
    """Return how answers are written: as the name of their file says.

    Raises:
        ConfigError: Its name says nothing that can be written.
    """
    if as_json or output is None:
        return Lines.json if as_json else Lines.tsv
    form = _FORMS.get(output.suffix.lower())
    if form is None:
        known = listed(list(filter(None, _FORMS)))
        raise ConfigError(f"expected an output file that ends in one of {known}, got {output}; rename it.")
    return form


def _texts(answer: Answer) -> tuple[str, ...]:
    if answer.score is not None:
        return (f"{answer.score:.4f}",)
    return ", ".join(answer.labels), ", ".join(f"{value:.4f}" for value in answer.labels.values())


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)
