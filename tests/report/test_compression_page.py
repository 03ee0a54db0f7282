"""The page of a compression: well-formed, escaped, self-contained, and with every figure of the table."""

from dataclasses import replace

import numpy as np
import pytest
from compressed_models import TEACHER, answers, compression, model
from parsed_page import ParsedPage

from pkd_core.data.token_table import TokenTable
from pkd_core.report.compression.content import Answer, Disagreement
from pkd_core.report.compression.data_look import look_at_data
from pkd_core.report.compression.page import html_page
from pkd_core.report.compression.plots import trade_off
from pkd_core.report.compression.table import variants_table
from pkd_core.report.compression.usage import usages

HOSTILE = "<script>alert('&\"')</script>"
DISAGREEMENT = Disagreement((f"not as bad {HOSTILE}",), HOSTILE, Answer("good", 0.93), Answer("bad", 0.614))


def test_the_page_is_well_formed_escaped_and_needs_no_other_file() -> None:
    made = compression(
        task=HOSTILE, labels=(HOSTILE, "b", "c"), disagreements=(DISAGREEMENT,), command=HOSTILE
    )
    page = html_page(made)
    parsed = ParsedPage(page)
    assert "script" not in parsed.tags
    assert f"not as bad {HOSTILE}" in parsed.text
    targets = {value for name, value in parsed.attributes if name == "id"}
    addresses = [value for name, value in parsed.attributes if name in ("src", "href", "xlink:href")]
    assert addresses
    assert all(value and value[0] == "#" and value[1:] in targets for value in addresses)
    assert not any(name.startswith("on") for name, _ in parsed.attributes)
    assert "url(" not in page


def test_it_has_the_verdict_the_figures_and_the_examples() -> None:
    made = compression(disagreements=(DISAGREEMENT,))
    parsed = ParsedPage(html_page(made))
    headings, *rows = parsed.tables[0]
    assert [headings, *rows] == [list(variants_table(made).headings), *variants_table(made).rows]
    assert "It cost Its score is 2.5 points lower than the teacher's" in parsed.text
    assert "teacher good 0.93 · student bad 0.61" in parsed.text
    assert parsed.table("label")["fair"]["difference"] == "-6.0"
    for one in usages(made):
        assert " ".join(one.lines.split()) in parsed.text
    assert "median 12 tokens, 95 % up to 40, longest 128" in parsed.text
    assert "pkd compress reviews.csv" in parsed.text


def test_the_row_of_the_student_to_be_used_is_marked() -> None:
    page = html_page(compression())
    marked = page.partition('<tr class="chosen">')[2].partition("</tr>")[0]
    assert "kd, 3 layers" in marked
    assert "ONNX, int8" in marked
    assert page.count('class="chosen"') == 1


def test_what_was_not_measured_is_left_out() -> None:
    made = compression(
        student=model("kd-3l-s42", answers(48), answers(50)),
        timings=(),
        machine=None,
        classes=(),
        labels=(),
        command="",
    )
    parsed = ParsedPage(html_page(made))
    assert "svg" not in parsed.tags
    assert len(parsed.tables) == 1
    assert "Repeat" not in parsed.text


def test_the_picture_has_each_timed_variant_at_its_time_with_its_interval_and_size() -> None:
    picture = trade_off(compression())
    assert picture is not None
    marks = {mark.name: mark for mark in picture.plot.marks}
    teacher = marks["teacher, 6 layers (PyTorch, float32): 90.0, 15.6 ms, 90.9 MB"]
    student = marks["kd, 3 layers (ONNX, int8): 87.5, 1.8 ms, 17.6 MB"]
    assert len(marks) == 7
    assert teacher.x > student.x
    assert teacher.y < student.y, "upwards is a smaller y"
    assert student.y_low > student.y > student.y_high
    assert teacher.scale / student.scale == pytest.approx((90.9 / 17.6) ** 0.5, abs=0.05)
    assert [name for _, name in picture.shapes] == ["PyTorch, float32", "ONNX, float32", "ONNX, int8"]


def test_lines_to_paste_fit_the_columns_and_the_formats() -> None:
    lines = "\n".join(one.lines for one in usages(compression()))
    assert 'python bundle/predict.py "some text"' in lines
    assert """-d '{"inputs": ["some text"]}'""" in lines
    pair = "\n".join(one.lines for one in usages(compression(text_columns=("question", "answer"))))
    assert "predict.py $'some text\\tanother text'" in pair
    assert """{'text': 'some text', 'text_pair': 'another text'}""" in pair
    assert """-d '{"inputs": [["some text", "another text"]]}'""" in pair
    student = model("kd-3l-s42", answers(48), sizes={"torch-float32": 1})
    (only,) = usages(compression(TEACHER, student, deployed="torch-float32"))
    assert "from transformers" in only.lines


def test_lengths_and_labels_of_the_training_data() -> None:
    table = TokenTable(
        np.arange(4),
        np.array([0, 2, 6, 11, 21]),
        np.zeros(21, np.int32),
        np.zeros(4, np.int32),
        np.array([1, 0, 1, 1]),
    )
    look = look_at_data(table, {"dev": 2, "train": 4}, ("a", "b", "c"), max_length=10)
    assert list(look.rows.items()) == [("train", 4), ("dev", 2)]
    assert look.label_counts == {"b": 3, "a": 1, "c": 0}
    assert look.length_percentiles == {50: 4, 95: 10, 100: 10}
    assert look.share_cut == 0.25
    several = replace(table, labels_R=np.array([[1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 0, 0.0]], np.float32))
    assert look_at_data(several, {}, ("a", "b", "c"), 10).label_counts == {"a": 2, "c": 2, "b": 0}
