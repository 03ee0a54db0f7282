"""Tiny random classifiers of every family that can teach, with tokenizers trained on the spot."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

_BERT_LIKE = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_ROBERTA_LIKE = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}
_ROBERTA_LIKE |= {"cls": "<s>", "sep": "</s>"}
_MPNET = _ROBERTA_LIKE | {"unk": "[UNK]"}
_SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}
# Class of the tokenizer, its algorithm, its special tokens, and what the configuration has beside the sizes.
_FAMILIES: dict[str, tuple[str, str, dict[str, str], dict[str, Any]]] = {
    "bert": ("BertTokenizer", "wordpiece", _BERT_LIKE, {}),
    "distilbert": ("DistilBertTokenizer", "wordpiece", _BERT_LIKE, {}),
    "electra": ("ElectraTokenizer", "wordpiece", _BERT_LIKE, {"embedding_size": 16}),
    "mpnet": ("MPNetTokenizer", "wordpiece", _MPNET, {}),
    "roberta": ("RobertaTokenizer", "bytes", _ROBERTA_LIKE, {"type_vocab_size": 1}),
    "xlm-roberta": ("XLMRobertaTokenizer", "unigram", _ROBERTA_LIKE, {"type_vocab_size": 1}),
    "camembert": ("CamembertTokenizer", "unigram", _ROBERTA_LIKE, {"type_vocab_size": 1}),
    "deberta": ("DebertaTokenizer", "bytes", _BERT_LIKE, {"type_vocab_size": 2, "relative_attention": True}),
    "deberta-v2": (
        "DebertaV2Tokenizer",
        "unigram",
        _BERT_LIKE,
        {
            **{"type_vocab_size": 0, "relative_attention": True, "position_biased_input": False},
            **{"pos_att_type": ["p2c", "c2p"], "norm_rel_ebd": "layer_norm", "share_att_key": True},
            "position_buckets": 8,
        },
    ),
    "albert": ("AlbertTokenizer", "unigram", _BERT_LIKE, {"embedding_size": 16}),
    "modernbert": ("PreTrainedTokenizerFast", "bytes", _BERT_LIKE, {"local_attention": 8}),
}
FAMILIES = tuple(_FAMILIES)


def write_classifier(
    folder: Path, family: str, texts: Sequence[str], labels: Sequence[str], **changes: Any
) -> None:
    """Write a random classifier and its tokenizer.

    Args:
        folder: Created if missing.
        family: One of FAMILIES.
        texts: What the tokenizer is trained on.
        labels: Names of the outputs.
        changes: Further keys of the configuration.
    """
    kind, algorithm, special, own = _FAMILIES[family]
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _train(algorithm, special, texts)
    tokenizer.save(str(folder / "tokenizer.json"))
    values = {f"{name}_token": token for name, token in special.items()}
    values |= {"tokenizer_class": kind, "model_max_length": 1000000000000000019884624838656}
    (folder / "tokenizer_config.json").write_text(json.dumps(values), encoding="utf-8")
    ids = {f"{name}_token_id": tokenizer.token_to_id(special[name]) for name in ("pad", "cls", "sep")}
    config = AutoConfig.for_model(
        family,
        **_SIZES
        | own
        | ids
        | {"vocab_size": tokenizer.get_vocab_size(), "id2label": dict(enumerate(labels))}
        | {"label2id": {label: number for number, label in enumerate(labels)}}
        | changes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config)
        # Some families begin with a head of zeros, or ignore the range for some weights.
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.data.normal_(0.0, 0.3)
    model.save_pretrained(folder)


def _train(algorithm: str, special: dict[str, str], texts: Sequence[str]) -> Tokenizer:
    tokens = list(dict.fromkeys(special.values()))
    trainer: Any
    match algorithm:
        case "wordpiece":
            tokenizer = Tokenizer(models.WordPiece(unk_token=special["unk"]))
            tokenizer.normalizer = normalizers.BertNormalizer()
            tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            tokenizer.decoder = decoders.WordPiece()
            trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=tokens, show_progress=False)
        case "bytes":
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            trainer = trainers.BpeTrainer(
                vocab_size=400,
                special_tokens=tokens,
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                show_progress=False,
            )
        case _:
            tokenizer = Tokenizer(models.Unigram())
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            tokenizer.decoder = decoders.Metaspace()
            trainer = trainers.UnigramTrainer(
                vocab_size=150, special_tokens=tokens, unk_token=special["unk"], show_progress=False
            )
    tokenizer.train_from_iterator(texts, trainer)
    first, last = ((special[name], tokenizer.token_to_id(special[name])) for name in ("cls", "sep"))
    if special["cls"] == "<s>":
        tokenizer.post_processor = processors.RobertaProcessing(last, first, add_prefix_space=False)
    else:
        tokenizer.post_processor = processors.BertProcessing(last, first)
    return tokenizer


def teach_classifier(
    folder: Path, texts: Sequence[str], labels: Sequence[Any], num_steps: int = 60, max_length: int = 32
) -> None:
    """Fine-tune a classifier in place, with plain transformers.

    Args:
        folder: The classifier's.
        texts: What it is given.
        labels: Class positions; scores; or, of several labels, 0 or 1 for each.
        num_steps: Steps, each on all texts.
        max_length: Tokens of a text.
    """
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = "right"
    encoded = tokenizer(
        list(texts), padding=True, truncation=True, max_length=max_length, return_tensors="pt"
    )
    inputs = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    is_class = model.config.num_labels > 1 and model.config.problem_type != "multi_label_classification"
    targets = torch.tensor(labels, dtype=torch.long if is_class else torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(num_steps):
        optimizer.zero_grad()
        model(**inputs, labels=targets).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
