"""Bad data and bad models: one sentence before anything runs, exit status 2, and not a file left behind."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import run_pkd, tree
from safetensors.numpy import load_file, save_file

HEADER = b"sentence\tlabel\n"
TWO = HEADER + b"a good film\tup\na bad film\tdown\n"

# A file of the task, what it holds, and what the message is.
BAD_DATA = {
    "an empty train file": ("train.tsv", b"", "train.tsv:1: expected a header with the column 'sentence'"),
    "a train file of no rows": ("train.tsv", HEADER, "train.tsv:1: expected at least one example"),
    "a dev file of no rows": ("dev.tsv", HEADER, "dev.tsv:1: expected at least one example"),
    "a train file of one row": ("train.tsv", HEADER + b"a film\tup\n", "train.tsv: expected examples of every label"),
    "a label that train has not": ("train.tsv", HEADER + b"a\tup\nb\tup\n", "got none of down; add some"),
    "a dev file of one row": ("dev.tsv", HEADER + b"a film\tup\n", "two different labels, for a score to mean"),
    "a dev file of one label": ("dev.tsv", HEADER + b"a\tdown\nb\tdown\n", "got down alone"),
    "an unknown label": ("dev.tsv", TWO + b"c\tsideways\n", "dev.tsv:4: expected a label out of down, up"),
    "no label": ("train.tsv", TWO + b"c\n", "train.tsv:4: expected 2 fields, got 1"),
    "no label column": ("train.tsv", b"sentence\na film\n", "train.tsv:1: expected a header with the column 'label'"),
    "a repeated index": ("test.tsv", b"index\tsentence\n1\ta\n1\tb\n", "test.tsv:3: expected every index once, got 1"),
    "a NUL byte": ("train.tsv", TWO + b"a\0b\tup\n", "train.tsv:4: expected text, got a NUL byte at byte 2"),
    "Latin-1": ("train.tsv", TWO + b"caf\xe9\tup\n", "train.tsv:4: expected UTF-8, got 0xe9 at byte 4"),
    "UTF-16": ("train.tsv", TWO.decode().encode("utf-16"), "train.tsv:1: expected"),
    "a line of 10 MB": ("dev.tsv", TWO + b"x" * 10_000_000 + b"\tup\n", "dev.tsv:4: expected a line of at most"),
    "an empty line": ("train.tsv", TWO + b"\n", "train.tsv:4: expected 2 fields, got an empty line"),
    "a task file that is no TOML": ("task.toml", b"texts = [", "task.toml: expected a TOML file"),
    "a task file without labels": ("task.toml", b'texts = ["sentence"]\nlabel = "label"\n', "either `labels` or"),
}  # fmt: skip

GOOD_DATA = {
    "CRLF": TWO.replace(b"\n", b"\r\n"),
    "a byte order mark": b"\xef\xbb\xbf" + TWO,
    "emoji": HEADER + "🎬 👍🏽\tup\n🎬 👎\tdown\n".encode(),
    "right-to-left text": HEADER + "فيلم جيد\tup\nסרט רע\tdown\n".encode(),
    "no newline at the end": TWO.removesuffix(b"\n"),
    "quotes": HEADER + b'"a good film\tup\na ""bad"" film\tdown\n',
}


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("case", BAD_DATA)
def test_malformed_data_is_reported_with_its_position_before_anything_runs(
    command: str, case: str, workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, content, expected = BAD_DATA[case]
    (workspace / "data_raw" / "Tiny" / name).write_bytes(content)
    assert expected in _mistake(workspace, capfd, command, "Tiny", "--model", str(tiny_model))


@pytest.mark.parametrize("case", GOOD_DATA)
def test_unusual_but_valid_data_is_accepted(
    case: str, workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "dev"):
        (workspace / "data_raw" / "Tiny" / f"{split}.tsv").write_bytes(GOOD_DATA[case])
    assert run_pkd("plan", "Tiny", "--model", str(tiny_model)) == 0
    assert "18 stages" in capfd.readouterr().out


def _edit_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def _edit_tokenizer(folder: Path, edit: Callable[[dict[str, object]], object]) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    edit(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _drop_words(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"] = tensors["embeddings.word_embeddings.weight"][:-1].copy()
    save_file(tensors, folder / "model.safetensors")


def _drop_positions(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.position_embeddings.weight"] = tensors["embeddings.position_embeddings.weight"][
        :64
    ].copy()
    save_file(tensors, folder / "model.safetensors")
    _edit_config(folder, max_position_embeddings=64)


BAD_MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another type": (lambda folder: _edit_config(folder, model_type="roberta"), "expected a BERT model, got 'roberta'"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "expected a model folder, found no config.json"),
    "a config that is no JSON": (lambda folder: _cut(folder / "config.json"), "expected a readable JSON object"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "needs a tokenizer.json"),
    "a tokenizer cut short": (lambda folder: _cut(folder / "tokenizer.json"), "tokenizer.json that cannot be read"),
    "a tokenizer of more words": (
        lambda folder: _edit_tokenizer(folder, lambda values: values["model"]["vocab"].update(kino=19)),  # type: ignore[index]
        "embeddings for 19 words, and a tokenizer of 20 words",
    ),
    "a tokenizer of another kind": (
        lambda folder: _edit_tokenizer(folder, lambda values: values.update(post_processor=None)),
        "needs a BERT tokenizer, which puts [CLS] before",
    ),
    "weights of fewer words": (_drop_words, "weight of 19 x 32 numbers by its config.json, got 18 x 32"),
    "weights cut short": (lambda folder: _cut(folder / "model.safetensors"), "expected complete safetensors"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "found no weights; fetch the model again"),
    "pickled weights only": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "found pickled weights; load them once with transformers and save them with save_pretrained",
    ),
    "too few positions": (
        _drop_positions,
        "tokens.max_length of 128 is more than the 64 positions",
    ),
}  # fmt: skip


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("case", BAD_MODELS)
def test_a_broken_model_is_reported_before_anything_runs(
    command: str, case: str, workspace: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil, expected = BAD_MODELS[case]
    shutil.copytree(tiny_model, workspace / "model")
    spoil(workspace / "model")
    assert expected in _mistake(workspace, capfd, command, "Tiny", "--model", "model")


def _mistake(workspace: Path, capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must end in one sentence and change nothing; return the sentence."""
    before = tree(workspace)
    assert run_pkd(*arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"pkd: .+\.\n", err)
    assert tree(workspace) == before
    return err
