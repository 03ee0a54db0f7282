"""Stage: raw TSV files to token ids in Parquet."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from pkd_core.data.holdout import hold_out
from pkd_core.data.token_table import label_array, read_shards, shards_of
from pkd_core.data.tokenize import write_tokens
from pkd_core.data.tsv import Label
from pkd_core.data.validation import check_labels
from pkd_core.pipeline.facts import TokensFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import TokensSpec


def tokenize(job: Job, spec: TokensSpec) -> TokensFacts:
    """Write every split that has a file as Parquet shards; or, to hold out a part of it, the training split alone.

    Raises:
        DataError: The files are not of the stated shape, or their labels leave nothing to learn or to score.
    """
    data_raw, dev_splits = job.data_raw, job.task.dev_splits
    splits = job.task.splits if spec.holdout is None else (job.task.train_split,)
    facts = write_tokens(
        job.work,
        data_raw,
        replace(job.task, splits=splits),
        job.model_folder,
        spec.tokens.max_length,
        job.observer,
        truncation=spec.tokens.truncation,
    )
    if spec.holdout is not None:
        # Its rows come from the file of the training split.
        dev_splits = (replace(dev_splits[0], file=job.task.train_split.file),)
        facts["rows"] = hold_out(
            job.work, dev_splits[0].name, spec.holdout.fraction, spec.holdout.seed, job.task.num_choices
        )
    for split in (job.task.train_split, *dev_splits):
        check_labels(data_raw / split.file, job.task, split, _distinct_labels(job.work, split.name))
    return TokensFacts(**facts, max_length=spec.tokens.max_length)


def _distinct_labels(folder: Path, split: str) -> Collection[Label]:
    labels_R = np.unique(label_array(read_shards(shards_of(folder, split), ["label"])["label"]), axis=0)
    if labels_R.ndim == 1:
        return list(labels_R.tolist())
    return [tuple(np.flatnonzero(row_C).tolist()) for row_C in labels_R]
