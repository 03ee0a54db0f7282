"""How rows are divided where files do not say, and how labels are understood."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_files import Rows, read, rows_of, write_csv, write_jsonl

from pkd_core.data.examples import read_split
from pkd_core.data.glue import load_task
from pkd_core.data.validation import check_examples
from pkd_core.errors import DataError
from pkd_core.own_data.own_data import OwnData
from pkd_core.own_data.row_index import NO_LABEL, SPLITS
from pkd_core.own_data.write import write_task


def written(own: OwnData, data_raw: Path) -> dict[str, list[Any]]:
    """Write own data and return the rows of each split, as the pipeline reads them."""
    task = load_task(write_task(own, data_raw), data_raw)
    check_examples(task, data_raw)
    return {
        split.name: [(one.texts, one.label) for one in read_split(data_raw / split.file, task, split)]
        for split in task.splits
    }


def class_counts(own: OwnData, split: str) -> dict[str, int]:
    return {name: rows[split] for name, rows in own.first_look.class_rows.items()}


def test_every_class_has_its_part_of_each_split(tmp_path: Path) -> None:
    labels = ["a"] * 70 + ["b"] * 20 + ["c"] * 10
    own = read(write_csv(tmp_path / "a.csv", [(f"text {row}", labels[row % 100]) for row in range(400)]))
    assert class_counts(own, "train") == {"a": 227, "b": 65, "c": 32}
    assert class_counts(own, "dev") == {"a": 25, "b": 7, "c": 4}
    assert class_counts(own, "test") == {"a": 28, "b": 8, "c": 4}


def test_the_cut_depends_on_the_seed_alone(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", rows_of(100))
    first, again, other = read(path), read(path), read(path, seed=1)
    assert first.splits_R.tolist() == again.splits_R.tolist() != other.splits_R.tolist()
    assert first.digest == again.digest != other.digest


def test_rows_of_one_text_stay_together(tmp_path: Path) -> None:
    rows = [
        (f"text {row // 4}" if row % 2 else f"  TEXT   {row // 4}", "ab"[row // 4 % 2]) for row in range(400)
    ]
    own = read(write_csv(tmp_path / "a.csv", rows))
    assert own.first_look.leaks == ()
    assert own.first_look.duplicates == {"train": 243, "dev": 27, "test": 30, "unlabelled": 0}


def test_one_row_of_a_class_stays_in_train_and_is_named(tmp_path: Path) -> None:
    own = read(write_csv(tmp_path / "a.csv", [*rows_of(100), ("the only one", "rare")]))
    assert [rows["rare"] for rows in (class_counts(own, split) for split in SPLITS[:3])] == [1, 0, 0]
    assert (
        "1 class has fewer than 10 rows in train, which is little to learn from: rare (1)."
        in own.first_look.warnings
    )


def test_twenty_classes_with_one_of_five_rows(tmp_path: Path) -> None:
    labels = [f"class {number:02d}" for number in range(20)]
    rows = [*rows_of(950, labels[:19]), *((f"rare text {row}", labels[19]) for row in range(5))]
    own = read(write_csv(tmp_path / "a.csv", rows))
    assert own.labels.names == tuple(labels)
    assert own.first_look.rare_classes == {"class 19": 4}
    assert len(written(own, tmp_path)["train"]) == 773


def test_given_files_are_not_cut(tmp_path: Path) -> None:
    rows = rows_of(60)
    data = write_csv(tmp_path / "a.csv", rows[:40])
    dev, test = write_csv(tmp_path / "b.csv", rows[40:50]), write_csv(tmp_path / "c.csv", rows[50:])
    own = read(data, dev=dev, test=test)
    assert written(own, tmp_path) == {
        name: [((text,), own.labels.names.index(label)) for text, label in part]
        for name, part in (("train", rows[:40]), ("dev", rows[40:50]), ("test", rows[50:]))
    }
    assert read(data, dev=dev, test_fraction=0).first_look.rows["test"] == 0


def test_a_column_says_the_split(tmp_path: Path) -> None:
    splits = ["train"] * 40 + ["validation"] * 10 + ["TEST"] * 9 + ["unlabeled"]
    rows = [(text, label, split) for (text, label), split in zip(rows_of(60), splits, strict=True)]
    path = write_csv(tmp_path / "a.csv", rows, ("text", "label", "split"))
    assert read(path).first_look.rows == {"train": 40, "dev": 10, "test": 9, "unlabelled": 1}
    other = write_csv(tmp_path / "b.csv", rows, ("text", "label", "part"))
    assert read(other, split_column="part").first_look.rows["dev"] == 10
    broken = write_csv(tmp_path / "c.csv", [*rows, ("x", "buy", "later")], ("text", "label", "part"))
    message = (
        "row 61: expected train, dev, test or unlabelled in the column 'part', got 'later'; fix that row"
    )
    with pytest.raises(DataError, match=message):
        read(broken, split_column="part")


def test_rows_without_label_are_for_the_teacher(tmp_path: Path) -> None:
    rows = [(text, label if row % 3 else "") for row, (text, label) in enumerate(rows_of(90))]
    own = read(write_csv(tmp_path / "a.csv", rows))
    assert own.first_look.rows["unlabelled"] == 30
    assert "30 rows without label are texts for the teacher to label." in own.notes
    write_task(own, tmp_path)
    table = pq.read_table(tmp_path / "a/unlabelled.parquet")
    assert (table.column_names, table.num_rows) == (["text"], 30)


def test_rows_of_dev_and_test_without_label_are_left_out(tmp_path: Path) -> None:
    data, dev = (
        write_csv(tmp_path / "a.csv", rows_of(60)),
        write_csv(tmp_path / "b.csv", [*rows_of(9, seed=2), ("x", "")]),
    )
    own = read(data, dev=dev)
    assert own.first_look.rows["dev"] == 9
    assert "Left out: 1 row of dev and test without label." in own.first_look.warnings


def test_a_pair_of_texts(tmp_path: Path) -> None:
    rows = [(text, f"b {text}", label) for text, label in rows_of(60)]
    own = read(write_csv(tmp_path / "a.csv", rows, ("premise", "hypothesis", "gold_label")))
    assert own.texts == ("premise", "hypothesis")
    found = {texts for of_split in written(own, tmp_path).values() for texts, _ in of_split}
    assert found == {(first, second) for first, second, _ in rows}


@pytest.mark.parametrize("form", ["list", "text of a list", "separator", "columns"])
def test_several_labels_in_each_form(tmp_path: Path, form: str) -> None:
    texts = [text for text, _ in rows_of(60)]
    sets = [(["joy", "fear"], ["fear"], [], ["joy"])[row % 4] for row in range(60)]
    if form == "list":
        path = write_jsonl(
            tmp_path / "a.x", ({"text": text, "tags": one} for text, one in zip(texts, sets, strict=True))
        )
        own = read(path)
    elif form == "text of a list":
        own = read(write_csv(tmp_path / "a.x", list(zip(texts, sets, strict=True)), ("text", "tags")))
    elif form == "separator":
        joined = [(text, "; ".join(one) or "none") for text, one in zip(texts, sets, strict=True)]
        own = read(write_csv(tmp_path / "a.x", joined, ("text", "tags")), label_separator=";")
    else:
        rows = [
            (text, int("joy" in one), float("fear" in one)) for text, one in zip(texts, sets, strict=True)
        ]
        own = read(write_csv(tmp_path / "a.x", rows, ("text", "joy", "fear")), label=("joy", "fear"))
    assert own.labels.kind == "multi-label"
    names = own.labels.names
    assert set(names) == {"joy", "fear"} | ({"none"} if form == "separator" else set())
    found = {texts[0]: label for of_split in written(own, tmp_path).values() for texts, label in of_split}
    empty = ["none"] if form == "separator" else []
    assert found == {
        text: tuple(sorted(names.index(name) for name in one or empty))
        for text, one in zip(texts, sets, strict=True)
    }


@pytest.mark.parametrize(
    ("labels", "kind", "names"),
    [
        ([0.5, 1.5, 3], "regression", ()),
        (["0,5", "1,5", "3"], "regression", ()),
        ([3, 1, 2], "classes", ("1", "2", "3")),
        ([10, 9, 11], "classes", ("9", "10", "11")),
        (["1.0", "0.0"], "classes", ("0", "1")),
        (["true", "False"], "classes", ("False", "true")),
        ([*range(0, 200, 3)], "regression", ()),
        ([*range(1, 41)], "classes", tuple(map(str, range(1, 41)))),
        ([" yes", "no "], "classes", ("no", "yes")),
    ],
)
def test_the_kind_of_labels(tmp_path: Path, labels: list[Any], kind: str, names: tuple[str, ...]) -> None:
    own = read(write_csv(tmp_path / "a.csv", rows_of(400, labels)))
    assert (own.labels.kind, own.labels.names) == (kind, names)
    if kind == "regression":
        low, high = (float(str(value).replace(",", ".")) for value in (labels[0], labels[-1]))
        assert own.labels.range == (low, high)
        found = Counter(label for _, label in written(own, tmp_path)["train"])
        assert set(found) <= {float(str(value).replace(",", ".")) for value in labels}


@pytest.mark.parametrize(
    ("values", "label", "message"),
    [
        ({"kind": "regression"}, "buy", "expected numbers as scores, got 'buy'; leave --kind out"),
        (
            {"kind": "regression"},
            3,
            "expected different scores, got 3 in every row; name another column with --label",
        ),
        (
            {"kind": "multi-label"},
            "buy",
            "expected several labels in a row, as a list or with --label-separator",
        ),
        (
            {"kind": "classes"},
            ["buy"],
            "expected one label in each row, as --kind classes says, got lists of labels",
        ),
        ({}, ["buy"], "expected at least two different labels, got buy; name another column"),
        ({}, ["a|b", "c"], r"expected names of labels without '\|', got 'a\|b'; give --label-separator '\|'"),
    ],
)
def test_labels_that_do_not_fit_what_is_asked_for(
    tmp_path: Path, values: dict[str, Any], label: object, message: str
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", ({"text": text, "label": label} for text, _ in rows_of(40)))
    with pytest.raises(DataError, match=message):
        read(path, **values)


def test_columns_of_labels_hold_0_and_1(tmp_path: Path) -> None:
    rows = [(text, row % 2, row % 3) for row, (text, _) in enumerate(rows_of(40))]
    path = write_csv(tmp_path / "a.csv", rows, ("text", "rude", "angry"))
    with pytest.raises(
        DataError, match="row 3: expected 0 or 1 in the column 'angry', got '2'; fix that row"
    ):
        read(path, label=("rude", "angry"))


@settings(max_examples=25)
@given(
    rows=st.lists(st.tuples(st.integers(0, 40), st.sampled_from("abbcccc")), min_size=60, max_size=150),
    fraction=st.sampled_from([0.05, 0.1, 0.3, 0.5]),
)
def test_whatever_the_rows_train_has_every_class_and_shares_no_text(
    rows: Rows, fraction: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    rows = [(f"text {number}", label) for number, label in rows]
    try:
        own = read(write_csv(folder / "cut.csv", rows), dev_fraction=fraction, test_fraction=fraction)
    except DataError as error:
        assert "at least" in str(error)
        return
    assert own.first_look.leaks == ()
    assert all(count for count in class_counts(own, "train").values())
    assert sum(own.first_look.rows.values()) == len(rows)
    assert np.count_nonzero(own.index.labels_R == NO_LABEL) == 0
