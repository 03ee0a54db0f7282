"""Stage: raw TSV files to token ids in Parquet."""

from typing import Any

from pkd_core.data.tokens import write_tokens
from pkd_core.stages.job import Job


def tokenize(job: Job) -> dict[str, Any]:
    """Write every split that has a file as Parquet shards; return rows, lengths and skipped lines."""
    max_length = job.stage.config["tokens"]["max_length"]
    facts = write_tokens(
        job.work, job.context.data_raw, job.task, job.context.model_folder, max_length, job.observer
    )
    return facts | {"max_length": max_length}
