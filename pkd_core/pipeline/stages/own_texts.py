"""The texts of a stage's examples, for teachers that read texts, not the students' tokens."""

from collections.abc import Iterator

import numpy as np

from pkd_core.data.examples import read_split
from pkd_core.data.task import Split
from pkd_core.data.token_table import TokenTable
from pkd_core.data.tokenize import tokenize_split
from pkd_core.data.transfer_set import SPLIT
from pkd_core.errors import DataError
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import TokensSpec

Texts = list[tuple[str, ...]]


def texts_of(job: Job, split: Split, table: TokenTable) -> Texts:
    """Return the one or two texts of each row of a table of a split's tokens.

    Raises:
        DataError: The split's file has no such examples; it was changed while it was read.
    """
    held_out = job.manifests["tokens"].config.get("holdout")
    # Rows that are held out of train stand for dev.
    source = job.task.train_split if held_out else split
    path = job.data_raw / source.file
    texts = {one.example_id: one.texts for one in read_split(path, job.task, source, [])}
    try:
        return [texts[int(example_id)] for example_id in table.example_ids_R]
    except KeyError as error:
        raise DataError(
            f"{path}: expected example {error}, of which there are tokens, got none; run again"
        ) from None


def transfer_texts(job: Job, table: TokenTable) -> Texts:
    """Return the texts of each row of a transfer set, found by the tokens that students read.

    Raises:
        DataError: The file of texts without labels has no such examples; it was changed while it was read.
    """
    split = job.task.unlabelled_split
    path = job.data_raw / split.file
    spec = TokensSpec.model_validate(job.manifests["tokens"].config)
    settings = spec.tokens
    tokens = tokenize_split(
        job.data_raw, job.task, split, job.model_folder, settings.max_length, settings.truncation
    )
    examples = read_split(path, job.task, split, [])
    texts: dict[bytes, tuple[str, ...]] = {}
    for key, example in zip(_keys(tokens), examples, strict=True):
        texts.setdefault(key, example.texts)
    try:
        return [texts[key] for key in _keys(table)]
    except KeyError:
        raise DataError(f"{path}: expected the texts of the {SPLIT} set, got others; run again") from None


def _keys(table: TokenTable) -> Iterator[bytes]:
    """Yield what makes a row's tokens different from another's."""
    for row, second_start in enumerate(table.second_starts_R):
        ids = table.input_ids[table.offsets[row] : table.offsets[row + 1]]
        yield np.append(ids, second_start).astype(np.int32).tobytes()
