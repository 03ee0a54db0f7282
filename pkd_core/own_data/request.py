"""Which files are a user's data, and what of them is text, label and split."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

Kind = Literal["classes", "multi-label", "regression"]
_Column = Annotated[str, Field(min_length=1, max_length=4096)]


class DataRequest(BaseModel):
    """A user's data and what to read of them; what is left out is guessed, and said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Annotated[
        Path,
        Field(
            description="A file (CSV, TSV, JSON Lines, JSON, Parquet), a folder of such files named train, dev and "
            "test, or a folder that `datasets` has saved."
        ),
    ]
    name: Annotated[
        str | None, Field(description="The task's name. Default: that of the file or folder.")
    ] = None
    texts: Annotated[
        tuple[_Column, ...], Field(max_length=2, description="The one or two columns of texts.")
    ] = ()
    label: Annotated[
        tuple[_Column, ...],
        Field(description="The column of labels; or several columns of 0 and 1, one for each label."),
    ] = ()
    label_separator: Annotated[
        str | None,
        Field(min_length=1, max_length=10, description="What stands between several labels of a text."),
    ] = None
    split_column: Annotated[_Column | None, Field(description="The column that says train, dev or test.")] = (
        None
    )
    dev: Annotated[Path | None, Field(description="File of the rows that models are chosen by.")] = None
    test: Annotated[Path | None, Field(description="File of the rows for the final scores.")] = None
    unlabelled: Annotated[
        Path | None, Field(description="File of further texts, which the teacher labels.")
    ] = None
    kind: Annotated[
        Kind | None,
        Field(description="What is predicted: one class of each text, any number of labels, or a score."),
    ] = None
    dev_fraction: Annotated[
        FiniteFloat,
        Field(gt=0, le=0.5, description="Part of the rows that becomes dev, where there is none."),
    ] = 0.1
    test_fraction: Annotated[
        FiniteFloat,
        Field(
            ge=0, le=0.5, description="Part of the rows that becomes test, where there is none; 0 for none."
        ),
    ] = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**63, description="Seed of the choice of these rows.")] = 0
    encoding: Annotated[
        str | None, Field(description="The text files' encoding. Default: UTF-8, UTF-16 or Windows-1252.")
    ] = None
