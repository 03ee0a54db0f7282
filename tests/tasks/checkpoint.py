"""A small random classifier with its tokenizer, in the files of a published checkpoint."""

from pathlib import Path

import torch
from tiny_bert import tiny_config
from transformers import BertForSequenceClassification, BertTokenizerFast

from pkd_core.data.task import Task

_WORDS = ["a", "dog", "cat", "sleeps", "runs", "far", "home", "##s", "."]


def write_checkpoint(folder: Path, task: Task) -> Path:
    """Write the classifier of a task into a folder, its vocabulary beside it, and return the folder."""
    torch.manual_seed(3)
    labels = dict(enumerate(task.labels or ("score",)))
    config = tiny_config(
        num_layers=2,
        vocab_size=5 + len(_WORDS),
        initializer_range=1.0,
        id2label=labels,
        label2id={label: position for position, label in labels.items()},
        problem_type=f"{'multi' if task.multi_label else 'single'}_label_classification"
        if task.labels
        else "regression",
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    vocabulary = folder.parent / "vocab.txt"
    vocabulary.write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS]), encoding="utf-8"
    )
    BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(folder)
    return folder
