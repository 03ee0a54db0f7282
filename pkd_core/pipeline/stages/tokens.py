"""Stage: raw TSV files to token ids in Parquet."""

import pyarrow.compute as pc

from pkd_core.data.token_table import read_shards, shards_of
from pkd_core.data.tokenize import write_tokens
from pkd_core.data.validation import check_labels
from pkd_core.pipeline.facts import TokensFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import TokensSpec


def tokenize(job: Job, spec: TokensSpec) -> TokensFacts:
    """Write every split that has a file as Parquet shards.

    Raises:
        DataError: The files are not of the stated shape, or their labels leave nothing to learn or to score.
    """
    data_raw = job.context.data_raw
    facts = write_tokens(
        job.work,
        data_raw,
        job.task,
        job.model_folder,
        spec.tokens.max_length,
        job.observer,
        truncation=spec.tokens.truncation,
    )
    for split in (job.task.train_split, *job.task.dev_splits):
        labels = pc.unique(read_shards(shards_of(job.work, split.name), ["label"])["label"]).to_pylist()
        check_labels(data_raw / split.file, job.task, split, labels)
    return TokensFacts(**facts, max_length=spec.tokens.max_length)
