"""Tiny tasks and a tiny BERT on disk, and settings with which the complete pipeline runs in seconds."""

import random
from pathlib import Path
from typing import Any

from tiny_bert import tiny_config
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from pkd_core.config.settings import Settings

WORDS = (
    "good",
    "bad",
    "fine",
    "poor",
    "film",
    "play",
    "book",
    "song",
    "was",
    "seemed",
    "the",
    "a",
    "very",
    "not",
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# For tests that need the stages to run, not to learn.
QUICK_SETTINGS: dict[str, Any] = {
    "teacher.num_epochs": 1,
    "student.num_epochs": 1,
    "speed.max_seconds": 0,
    "tokens.max_length": 16,
    "compute.threads": 1,
}
# With a teacher that is given.
QUICK_STUDENT_SETTINGS = {
    key: value for key, value in QUICK_SETTINGS.items() if not key.startswith("teacher.")
}
_MRPC_HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
TASK_FILE = """\
texts = ["sentence"]
label = "label"
labels = ["down", "up"]
metrics = ["accuracy", "f1"]
index = "index"
"""
SEVERAL_LABELS_FILE = """\
texts = ["sentence"]
label = "label"
labels = ["anger", "joy", "fear"]
multi_label = true
metrics = ["micro_f1", "macro_f1", "subset_accuracy"]
"""


def quick_arguments(**changes: Any) -> list[str]:
    """Return QUICK_SETTINGS as arguments of `pkd run`; a change's name has `__` for the dot of its key."""
    settings = QUICK_SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
    return [f"{key}={value}" for key, value in settings.items()]


def write_tiny_task(data_raw: Path, name: str = "Tiny", num_train: int = 48, num_dev: int = 24) -> None:
    """Write data_raw/<name>: the label is "up" where the sentence has a good word."""
    folder = data_raw / name
    folder.mkdir(parents=True)
    (folder / "task.toml").write_text(TASK_FILE, encoding="utf-8")
    rng = random.Random(name)
    for split, count in (("train", num_train), ("dev", num_dev)):
        lines = ["sentence\tlabel"]
        for _ in range(count):
            word = rng.choice(("good", "fine", "bad", "poor"))
            label = "up" if word in ("good", "fine") else "down"
            lines.append(f"{_sentence(rng)} {word} {_sentence(rng)}\t{label}")
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = ["index\tsentence", *(f"{row}\t{_sentence(rng)} good" for row in range(6))]
    (folder / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_tiny_glue(data_raw: Path, num_rows: int = 40) -> None:
    """Write data_raw/RTE and data_raw/MRPC with GLUE's own columns: the label is whether both texts are the same."""
    rng = random.Random("glue")
    for name, header in (("RTE", "index\tsentence1\tsentence2\tlabel"), ("MRPC", _MRPC_HEADER)):
        folder = data_raw / name
        folder.mkdir(parents=True)
        for split in ("train", "dev"):
            lines = [header]
            for row in range(num_rows):
                first = _sentence(rng)
                second = first if row % 2 else _sentence(rng)
                if name == "RTE":
                    lines.append(f"{row}\t{first}\t{second}\t{'entailment' if row % 2 else 'not_entailment'}")
                else:
                    lines.append(f"{row % 2}\t{row}\t{row}\t{first}\t{second}")
            (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_tiny_model(
    folder: Path, num_layers: int = 4, kind: type[BertModel | BertForMaskedLM] = BertModel
) -> None:
    """Write a random BERT and its fast tokenizer; the weights come from torch's global generator."""
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    config = tiny_config(
        num_layers, vocab_size=len(vocabulary), max_position_embeddings=256, initializer_range=0.02
    )
    kind(config).save_pretrained(folder)


def _sentence(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS[4:]) for _ in range(rng.randint(2, 6)))


def default_settings() -> dict[str, object]:
    """Return every setting's default by its dotted key."""
    return {f"{section}.{key}": value for section, values in Settings() for key, value in values}
