"""Texts without any label: the answers of the given teachers are their labels."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from families import write_classifier

from pkd_core.data.glue import load_task
from pkd_core.errors import ConfigError, DataError
from pkd_core.own_data.columns import NoLabelsError
from pkd_core.own_data.request import DataRequest
from pkd_core.pipeline.compress_data import find_data
from pkd_core.pipeline.own_labels import label_order
from pkd_core.pipeline.own_teachers import find_own_teacher
from pkd_core.pipeline.teacher_labels import FOLDER

LABELS = ("calm", "loud", "odd", "never")


def texts_of(num_rows: int) -> list[str]:
    words = ("a good film", "the play was bad", "what a song", "nobody knows why", "they came late again")
    return [f"{words[row % 5]} number {row * 37 % 101}" for row in range(num_rows)]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with texts, a teacher of classes, and one of the same labels in another order."""
    root = tmp_path_factory.mktemp("unlabelled")
    texts = texts_of(60)
    (root / "mails.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    for name, family, labels in (("teacher", "roberta", LABELS), ("other", "bert", LABELS[::-1])):
        write_classifier(root / name, family, texts, labels, initializer_range=1.0)
    return root


def answers(folder: Path, texts: list[str]) -> np.ndarray:
    """Return the probabilities that plain transformers computes, one text at a time."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits for text in texts]
    return torch.cat(logits).softmax(dim=-1).numpy()


def labels_of(data_raw: Path, name: str) -> dict[str, str]:
    rows: dict[str, str] = {}
    for split in ("train", "dev", "test"):
        table = pq.read_table(data_raw / name / f"{split}.parquet")
        rows |= dict(zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True))
    return rows


def test_texts_get_the_label_that_plain_transformers_gives(given: Path, tmp_path: Path) -> None:
    request = DataRequest(data=given / "mails.txt")
    found = find_data(request, tmp_path, [str(given / "teacher")], "cpu")
    texts = texts_of(60)
    expected = [LABELS[output] for output in answers(given / "teacher", texts).argmax(axis=1)]
    assert len(set(expected)) > 1
    assert labels_of(tmp_path, "mails") == dict(zip(texts, expected, strict=True))
    assert found.task == "mails"
    assert "those of teacher take their place, and scores are agreement with it" in found.notes[0]
    assert load_task("mails", tmp_path).labelled_by == "teacher"


def test_several_teachers_give_the_mean_of_their_probabilities_by_the_names_of_labels(
    given: Path, tmp_path: Path
) -> None:
    teachers = [given / "teacher", given / "other"]
    find_data(DataRequest(data=given / "mails.txt"), tmp_path, list(map(str, teachers)), "cpu")
    texts = texts_of(60)
    both = answers(teachers[0], texts) + answers(teachers[1], texts)[:, ::-1]
    assert labels_of(tmp_path, "mails") == {
        text: LABELS[output] for text, output in zip(texts, both.argmax(axis=1), strict=True)
    }


def test_texts_are_labelled_once(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request, teachers = DataRequest(data=given / "mails.txt"), [str(given / "teacher")]
    find_data(request, tmp_path, teachers, "cpu")
    (kept,) = (tmp_path / FOLDER).glob("*.parquet")
    before = kept.read_bytes()
    monkeypatch.setattr("pkd_core.pipeline.teacher_labels._Answering", None)
    find_data(request, tmp_path, teachers, "cpu")
    assert kept.read_bytes() == before
    with pytest.raises(TypeError):  # other teachers answer anew
        find_data(request, tmp_path, [str(given / "other")], "cpu")


def test_a_teacher_with_labels_that_no_text_has_teaches_those_that_texts_have(
    given: Path, tmp_path: Path
) -> None:
    find_data(DataRequest(data=given / "mails.txt"), tmp_path, [str(given / "teacher")], "cpu")
    task = load_task("mails", tmp_path)
    assert set(task.labels) < set(LABELS)
    order, named = label_order(find_own_teacher(str(given / "teacher")), task)
    assert named
    assert [LABELS[output] for output in order] == list(task.labels)


def test_without_a_teacher_texts_alone_are_refused(given: Path, tmp_path: Path) -> None:
    with pytest.raises(NoLabelsError, match="or give a --teacher, whose answers are then the labels"):
        find_data(DataRequest(data=given / "mails.txt"), tmp_path)


def test_teachers_of_different_labels_are_refused(given: Path, tmp_path: Path) -> None:
    write_classifier(tmp_path / "two", "bert", texts_of(60), ("no", "yes"))
    with pytest.raises(ConfigError, match="two needs the labels of the first teacher"):
        find_data(
            DataRequest(data=given / "mails.txt"),
            tmp_path / "data_raw",
            [str(given / "teacher"), str(tmp_path / "two")],
            "cpu",
        )
    assert not list((tmp_path / "data_raw" / FOLDER).glob("*.parquet*"))


def test_texts_in_several_files_are_refused(given: Path, tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("\n".join(texts_of(10)), encoding="utf-8")
    request = DataRequest(data=given / "mails.txt", test=tmp_path / "test.txt")
    with pytest.raises(
        DataError, match=r"texts without labels need to be one file, .* got 2; put them into one"
    ):
        find_data(request, tmp_path / "data_raw", [str(given / "teacher")], "cpu")


def test_a_column_of_ids_is_no_label(given: Path, tmp_path: Path) -> None:
    rows = [f"{number},{text}" for number, text in enumerate(texts_of(60))]
    (tmp_path / "mails.csv").write_text("\n".join(["id,text", *rows]) + "\n", encoding="utf-8")
    find_data(DataRequest(data=tmp_path / "mails.csv"), tmp_path, [str(given / "teacher")], "cpu")
    assert set(labels_of(tmp_path, "mails")) == set(texts_of(60))
