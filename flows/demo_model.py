"""The demo's pretrained BERT: small, and trained for seconds on sentences whose adjectives the demo's task lacks.

It stands for what a pretrained model brings along: it knows which clause is the main one and what a negation does, and
must learn from the task's few labels which of its adjectives are good.
"""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flows.demo_data import PRETRAINING_WORDS, draw_sentences, vocabulary
from pkd_core.store.atomic import atomic_folder

if TYPE_CHECKING:
    from transformers import BertForSequenceClassification

    from pkd_core.data.token_table import TokenTable

_CLS, _SEP = "[CLS]", "[SEP]"
_NUM_HELD_OUT = 300


def write_demo_model(
    folder: Path,
    seed: int,
    num_sentences: int,
    num_epochs: int,
    num_layers: int = 4,
    hidden_size: int = 64,
) -> None:
    """Write a pretrained BERT with its WordPiece tokenizer; all of it or nothing.

    The same arguments give the same bytes on one kind of CPU. There is no dropout: with so few weights, and no example
    seen often, it only slows the training down.

    Args:
        folder: Where config.json, model.safetensors, tokenizer.json, tokenizer_config.json and vocab.txt go.
        seed: Of the sentences and the weights.
        num_sentences: Sentences to pretrain on.
        num_epochs: Passes over them.
        num_layers: Depth.
        hidden_size: Width D, a multiple of 32.
    """
    import torch  # takes seconds, and a demo that is there needs neither
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    from pkd_core.runtime.threads import computing_with

    ids = {token: number for number, token in enumerate(vocabulary())}
    config = BertConfig(
        vocab_size=len(ids),
        hidden_size=hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=hidden_size // 32,
        intermediate_size=4 * hidden_size,
        max_position_embeddings=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config.num_labels = 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForSequenceClassification(config)
    with computing_with(1):
        _pretrain(model, ids, seed, num_sentences, num_epochs)
    with atomic_folder(folder) as partial:
        model.bert.save_pretrained(partial)
        BertTokenizer(vocab=ids).save_pretrained(partial)
        (partial / "vocab.txt").write_text("".join(f"{token}\n" for token in ids), encoding="utf-8")


def _pretrain(
    model: "BertForSequenceClassification",
    ids: Mapping[str, int],
    seed: int,
    num_sentences: int,
    num_epochs: int,
) -> None:
    """Train a classifier of sentences with other adjectives than the demo's task."""
    import torch

    from pkd_core.config.settings import TrainingConfig
    from pkd_core.runtime.observer import LogObserver
    from pkd_core.training.loop import Training, train

    rng, seen = random.Random(seed), set[str]()
    drawn = [draw_sentences(rng, count, seen, PRETRAINING_WORDS) for count in (num_sentences, _NUM_HELD_OUT)]
    train_table, held_out = (_table(sentences, ids) for sentences in drawn)
    train(
        Training(
            model=model,
            train_table=train_table,
            dev_table=held_out,
            settings=TrainingConfig(learning_rate=1e-3, num_epochs=num_epochs, precision="float32"),
            seed=seed,
            metrics=("accuracy",),
            is_regression=False,
            objective=None,
            save_best=lambda _: None,
            checkpoints=None,
            observer=LogObserver("the demo's BERT"),
            device=torch.device("cpu"),
        )
    )


def _table(sentences: list[tuple[str, bool]], ids: Mapping[str, int]) -> "TokenTable":
    """Return sentences, whose words are all in the vocabulary, as the training reads them."""
    import numpy as np

    from pkd_core.data.token_table import TokenTable

    tokens = [[ids[token] for token in (_CLS, *text.split(), _SEP)] for text, _ in sentences]
    lengths = np.array([len(row) for row in tokens], dtype=np.int64)
    return TokenTable(
        example_ids_R=np.arange(len(tokens), dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        input_ids=np.concatenate(tokens).astype(np.int32),
        second_starts_R=lengths.astype(np.int32),
        labels_R=np.array([is_good for _, is_good in sentences], dtype=np.int64),
    )
