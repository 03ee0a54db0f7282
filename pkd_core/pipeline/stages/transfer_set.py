"""Stage: unlabelled texts and varied copies of training examples, for the teacher to label."""

from pkd_core.data.augmentation import Pieces, Variation
from pkd_core.data.token_table import TokenTable
from pkd_core.data.tokenize import tokenize_split
from pkd_core.data.tokenizer import load_tokenizer
from pkd_core.data.transfer_set import write_transfer_set
from pkd_core.pipeline.facts import TokensFacts, TransferFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import TransferSpec


def make_transfer_set(job: Job, spec: TransferSpec) -> TransferFacts:
    """Write the transfer set as token shards.

    Raises:
        DataError: `unlabelled.tsv` is not of the task's shape, or nothing is left to learn from.
    """
    task, tokenizer_folder = job.task, job.model_folder
    train = TokenTable.load(job.inputs["tokens"], "train")
    rows = job.input_facts("tokens", TokensFacts).rows
    dev = [
        TokenTable.load(job.inputs["tokens"], split.name) for split in task.dev_splits if split.name in rows
    ]
    unlabelled = None
    if "unlabelled" in job.stage.sources:
        unlabelled = tokenize_split(
            job.context.data_raw,
            task,
            task.unlabelled_split,
            tokenizer_folder,
            spec.tokens.max_length,
            spec.tokens.truncation,
        )
    num_unlabelled, num_copies = write_transfer_set(
        job.work,
        task,
        train,
        dev,
        unlabelled,
        Variation(
            num_copies=spec.transfer.num_copies,
            mask_probability=spec.transfer.mask_probability,
            swap_probability=spec.transfer.swap_probability,
            ngram_probability=spec.transfer.ngram_probability,
            seed=spec.transfer.seed,
        ),
        Pieces.of(load_tokenizer(tokenizer_folder)),
        spec.tokens.max_length,
        job.observer,
    )
    return TransferFacts(num_unlabelled=num_unlabelled, num_copies=num_copies)
