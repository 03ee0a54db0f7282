"""The splits and columns of the Hugging Face hub from which GLUE's files are written."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

# Column of GLUE's file -> column on the hub, or "" for a column that is not on the hub and never read.
Columns = Mapping[str, str]


@dataclass(frozen=True)
class HubTable:
    """A split on the hub, and the columns of GLUE's file that is written from it."""

    config: str
    split: str
    columns: Columns


def _standard_tables(config: str, labelled: Columns, unlabelled: Columns) -> dict[str, HubTable]:
    return {
        "train": HubTable(config, "train", labelled),
        "dev": HubTable(config, "validation", labelled),
        "test": HubTable(config, "test", unlabelled),
    }


def _mnli() -> dict[str, HubTable]:
    texts = {"sentence1": "premise", "sentence2": "hypothesis"}
    parses = ("sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse", "sentence2_parse")
    test = {
        **dict.fromkeys(("index", "promptID", "pairID"), "idx"),
        **dict.fromkeys(("genre", *parses), ""),
        **texts,
    }
    train = {**test, "label1": "label", "gold_label": "label"}
    dev = {**test, **{f"label{n}": "label" for n in range(1, 6)}, "gold_label": "label"}
    return {
        "train": HubTable("mnli", "train", train),
        "dev": HubTable("mnli", "validation_matched", dev),
        "dev-mismatched": HubTable("mnli", "validation_mismatched", dev),
        "test": HubTable("mnli", "test_matched", test),
        "test-mismatched": HubTable("mnli", "test_mismatched", test),
        "ax": HubTable("ax", "test", {"index": "idx", **texts}),
    }


def _tables() -> dict[str, dict[str, HubTable]]:
    label = {"label": "label"}
    sentence = {"sentence": "sentence"}
    indexed_sentence = {"index": "idx", **sentence}
    indexed_pair = {"index": "idx", "sentence1": "sentence1", "sentence2": "sentence2"}
    question = {"index": "idx", "question": "question", **sentence}
    questions = {"question1": "question1", "question2": "question2"}
    strings = {"#1 ID": "idx", "#2 ID": "idx", "#1 String": "sentence1", "#2 String": "sentence2"}
    sources = dict.fromkeys(("genre", "filename", "year", "old_index", "source1", "source2"), "")
    stsb = {"index": "idx", **sources, "sentence1": "sentence1", "sentence2": "sentence2"}
    qids = dict.fromkeys(("id", "qid1", "qid2"), "idx")
    return {
        "CoLA": _standard_tables("cola", {"source": "", **label, "star": "", **sentence}, indexed_sentence),
        "SST-2": _standard_tables("sst2", {**sentence, **label}, indexed_sentence),
        "MRPC": _standard_tables("mrpc", {"Quality": "label", **strings}, {"index": "idx", **strings}),
        "STS-B": _standard_tables("stsb", {**stsb, "score": "label"}, stsb),
        "QQP": _standard_tables(
            "qqp", {**qids, **questions, "is_duplicate": "label"}, {"id": "idx", **questions}
        ),
        "MNLI": _mnli(),
        "QNLI": _standard_tables("qnli", {**question, **label}, question),
        "RTE": _standard_tables("rte", {**indexed_pair, **label}, indexed_pair),
        "WNLI": _standard_tables("wnli", {**indexed_pair, **label}, indexed_pair),
    }


HUB_TABLES: Mapping[str, Mapping[str, HubTable]] = MappingProxyType(_tables())
