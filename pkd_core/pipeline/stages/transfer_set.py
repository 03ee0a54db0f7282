"""Stage: unlabelled texts and varied copies of training examples, for the teacher to label."""

import functools

import numpy as np
import torch

from pkd_core.data.augmentation import Pieces, Variation
from pkd_core.data.likely_words import PredictWords
from pkd_core.data.token_table import TokenTable
from pkd_core.data.tokenize import tokenize_split
from pkd_core.data.tokenizer import load_tokenizer
from pkd_core.data.transfer_set import write_transfer_set
from pkd_core.model.loading import load_masked_language_model
from pkd_core.model.word_prediction import predict_words
from pkd_core.pipeline.facts import TokensFacts, TransferFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.specs import TransferSpec


def make_transfer_set(job: Job, spec: TransferSpec) -> TransferFacts:
    """Write the transfer set as token shards.

    Raises:
        DataError: `unlabelled.tsv` is not of the task's shape, or nothing is left to learn from.
        ModelError: Words are to be predicted, and the pretrained model's masked-language head is not complete.
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
            job.data_raw,
            task,
            task.unlabelled_split,
            tokenizer_folder,
            spec.tokens.max_length,
            spec.tokens.truncation,
        )
    pieces = Pieces.of(load_tokenizer(tokenizer_folder))
    num_unlabelled, num_copies = write_transfer_set(
        job.work,
        task,
        train,
        dev,
        unlabelled,
        Variation(
            num_copies=spec.transfer.num_copies,
            mlm_probability=spec.transfer.mlm_probability,
            mask_probability=spec.transfer.mask_probability,
            swap_probability=spec.transfer.swap_probability,
            ngram_probability=spec.transfer.ngram_probability,
            seed=spec.transfer.seed,
        ),
        pieces,
        spec.tokens.max_length,
        job.observer,
        _word_predictor(job, pieces) if spec.transfer.predicts_words else None,
    )
    return TransferFacts(num_unlabelled=num_unlabelled, num_copies=num_copies)


def _word_predictor(job: Job, pieces: Pieces) -> PredictWords:
    device = job.context.device
    model = load_masked_language_model(job.model_folder)
    torch.nn.Module.to(model, device)
    words = np.flatnonzero(pieces.is_word)
    return functools.partial(predict_words, model=model, words_A=words, device=device)
