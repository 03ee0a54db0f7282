"""MNLI's five splits and AX stay apart on the way from files to token tables."""

from pathlib import Path

import pytest

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.token_table import TokenTable
from pkd_core.data.tokenize import write_tokens
from pkd_core.runtime.observer import LogObserver

MNLI = GLUE_TASKS["MNLI"]
WORD_IDS = {"the": 5, "a": 6, "cat": 7, "dog": 8, "sat": 9, "run": 10}
# Each file has its own number of lines, its own first word, and its own labels or example ids.
FILES: dict[str, tuple[str, list[str]]] = {
    "MNLI/train.tsv": ("the", ["neutral", "contradiction", "entailment", "entailment"]),
    "MNLI/dev_matched.tsv": ("a", ["entailment", "neutral"]),
    "MNLI/dev_mismatched.tsv": ("cat", ["contradiction", "neutral", "neutral"]),
    "MNLI/test_matched.tsv": ("dog", ["30"]),
    "MNLI/test_mismatched.tsv": ("sat", ["41", "40"]),
    "AX/AX.tsv": ("run", ["52", "51", "50"]),
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """Token tables of these files."""
    root, work = tmp_path_factory.mktemp("data_raw"), tmp_path_factory.mktemp("tokens")
    for file, (word, cells) in FILES.items():
        (root / file).parent.mkdir(exist_ok=True)
        is_labelled = not cells[0].isdigit()
        header = "sentence1\tsentence2\t" + ("gold_label" if is_labelled else "index")
        lines = [f"{word}\tb\t{cell}" for cell in cells]
        (root / file).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    facts = write_tokens(work, root, MNLI, tokenizer_folder, 16, LogObserver("test"))
    assert facts["rows"] == {
        "train": 4,
        "dev": 2,
        "dev-mismatched": 3,
        "test": 1,
        "test-mismatched": 2,
        "ax": 3,
    }
    return work


@pytest.mark.parametrize(
    ("split", "word", "ids", "labels"),
    [
        ("train", "the", [0, 1, 2, 3], [2, 0, 1, 1]),
        ("dev", "a", [0, 1], [1, 2]),
        ("dev-mismatched", "cat", [0, 1, 2], [0, 2, 2]),
        ("test", "dog", [30], None),
        ("test-mismatched", "sat", [41, 40], None),
        ("ax", "run", [52, 51, 50], None),
    ],
)
def test_each_split_holds_the_texts_labels_and_ids_of_its_own_file(
    tokens: Path, split: str, word: str, ids: list[int], labels: list[int] | None
) -> None:
    table = TokenTable.load(tokens, split)
    assert table.example_ids_R.tolist() == ids
    assert (None if table.labels_R is None else table.labels_R.tolist()) == labels
    assert set(table.input_ids[table.offsets[:-1] + 1].tolist()) == {WORD_IDS[word]}
