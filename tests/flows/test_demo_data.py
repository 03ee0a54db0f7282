"""The demo's sentences have correct labels and clean splits, need more than single words, and depend on the seed."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel, AutoTokenizer, BertModel

from flows.demo_data import DEMO_TASK, PRETRAINING_WORDS, TASK_WORDS, vocabulary, write_demo_task
from flows.demo_model import write_demo_model
from pkd_core.data.glue import load_task
from pkd_core.data.tsv import Example, read_examples

SIZES = {"train": 2000, "dev": 300, "test": 100, "unlabelled": 400}
PRETRAINING = {"num_sentences": 64, "num_epochs": 1}
GOOD = {"honest", "clever", "funny", "polite", "crisp", "tender"}
BAD = {"noisy", "silly", "clumsy", "ugly", "sour", "dirty"}
TURNS = ("not", "never", "hardly", "nobody", "doubt", "false")


@pytest.fixture(scope="module")
def data_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data_raw")
    write_demo_task(folder, 7, *SIZES.values())
    return folder


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_demo_model(folder, 7, **PRETRAINING)
    return folder


def read(data_raw: Path, split: str) -> list[Example]:
    task = load_task(DEMO_TASK, data_raw)
    source = task.unlabelled_split if split == "unlabelled" else task.split(split)
    return list(read_examples(data_raw / source.file, task, source))


def sentences(data_raw: Path, split: str) -> list[str]:
    return [example.texts[0] for example in read(data_raw, split)]


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_splits_have_the_sizes_asked_for_and_as_many_positives_as_negatives(data_raw: Path) -> None:
    assert {split: len(read(data_raw, split)) for split in SIZES} == SIZES
    for split in ("train", "dev"):
        assert sum(example.label == 1 for example in read(data_raw, split)) == SIZES[split] // 2
    for split in ("test", "unlabelled"):
        assert {example.label for example in read(data_raw, split)} == {None}


def test_no_sentence_occurs_twice(data_raw: Path) -> None:
    everything = [sentence for split in SIZES for sentence in sentences(data_raw, split)]
    assert len(set(everything)) == len(everything)


def main_clause(sentence: str) -> list[str]:
    words = sentence.removesuffix(" .").split()
    if words[0] == "although":
        return words[words.index(",") + 1 :]
    if "although" in words:
        return words[: words.index("although")]
    return words[words.index("but") + 1 :] if "but" in words else words


def test_labels_follow_from_the_main_clause_and_its_negations(data_raw: Path) -> None:
    num_checked = 0
    for example in read(data_raw, "train"):
        words = main_clause(example.texts[0])
        known = (GOOD | BAD) & set(words)
        if known:
            num_turns = sum(word in TURNS for word in words)
            assert example.label == (len(known & GOOD) + num_turns) % 2
            num_checked += 1
    assert num_checked > 900


def test_single_words_do_not_predict_the_label(data_raw: Path) -> None:
    vectorizer = CountVectorizer(token_pattern=r"\S+")
    words = vectorizer.fit_transform(sentences(data_raw, "train"))
    model = LogisticRegression(max_iter=1000).fit(words, [e.label for e in read(data_raw, "train")])
    score = model.score(
        vectorizer.transform(sentences(data_raw, "dev")), [e.label for e in read(data_raw, "dev")]
    )
    assert 0.5 < score < 0.8


def test_sentences_are_short_and_the_vocabulary_small(data_raw: Path, model_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    everything = [sentence for split in SIZES for sentence in sentences(data_raw, split)]
    tokens = [tokenizer.tokenize(sentence) for sentence in everything]
    assert tokens == [sentence.split() for sentence in everything]
    assert {len(sentence) + 2 for sentence in tokens} <= set(range(7, 31))
    assert 100 < len({word for sentence in tokens for word in sentence}) < 300


def test_the_model_was_pretrained_on_other_adjectives_than_the_tasks(data_raw: Path) -> None:
    words = {word for split in SIZES for sentence in sentences(data_raw, split) for word in sentence.split()}
    adjectives = [{*kind.good, *kind.bad} for kind in (PRETRAINING_WORDS, TASK_WORDS)]
    assert [len(each & words) for each in adjectives] == [0, 24]
    assert adjectives[0] < set(vocabulary())


def test_each_epoch_of_pretraining_moves_the_weights(tmp_path: Path) -> None:
    weights = []
    for name, num_epochs in (("short", 1), ("long", 2)):
        write_demo_model(tmp_path / name, 7, num_sentences=64, num_epochs=num_epochs)
        weights.append(AutoModel.from_pretrained(tmp_path / name).state_dict())
    moved = [float((weights[0][key] - weights[1][key]).abs().max()) for key in weights[0]]
    assert 1e-5 < max(moved) < 0.1


def test_an_unknown_word_is_split_into_letters(model_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    assert tokenizer.tokenize("Soup tap") == ["soup", "t", "##a", "##p"]


def test_the_model_is_a_bert_of_the_size_asked_for_in_safe_files(tmp_path: Path) -> None:
    write_demo_model(tmp_path, 7, **PRETRAINING, num_layers=3, hidden_size=96)
    model = AutoModel.from_pretrained(tmp_path)
    assert isinstance(model, BertModel)
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (3, 96)
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(data_raw: Path, model_folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from flows.demo_data import *; from flows.demo_model import *\n"
        "root = Path(sys.argv[1])\n"
        f"write_demo_task(root / 'data_raw', 7, *{tuple(SIZES.values())})\n"
        "write_demo_model(root / 'model', 7, num_sentences=64, num_epochs=1)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    subprocess.run(
        command,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
    )
    assert hashes(tmp_path / "data_raw") == hashes(data_raw)
    assert hashes(tmp_path / "model") == hashes(model_folder)


def test_another_seed_gives_another_task_and_other_weights(
    data_raw: Path, model_folder: Path, tmp_path: Path
) -> None:
    write_demo_task(tmp_path / "data_raw", 8, *SIZES.values())
    both = set(sentences(tmp_path / "data_raw", "dev")) & set(sentences(data_raw, "dev"))
    assert len(both) < 0.05 * SIZES["dev"], "short sentences may be drawn by both"
    write_demo_model(tmp_path / "model", 8, **PRETRAINING)
    assert hashes(tmp_path / "model")["model.safetensors"] != hashes(model_folder)["model.safetensors"]


def test_the_global_random_state_is_unchanged(tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    write_demo_model(tmp_path, 7, **PRETRAINING)
    assert torch.equal(torch.rand(1), expected)
