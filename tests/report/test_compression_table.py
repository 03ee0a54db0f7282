"""The table of a compression, for terminals and with every column."""

from compressed_models import SIZES, TIMINGS, answers, compression, model

from pkd_core.report.compression.table import terminal_table, variants_table

REFUSED = model(
    "kd-3l-s42",
    answers(48),
    answers(100),
    sizes={**SIZES, "onnx-int8": None},
    refused="13.0 % of the answers to dev change, and at most 2.0 % may; use the float32 file, or more training data.",
)


def test_the_terminal_shows_each_model_with_its_formats_in_80_columns() -> None:
    lines = terminal_table(compression()).splitlines()
    assert lines[0] == "Reviews: accuracy on 400 test examples; most frequent answer 40.0"
    assert max(map(len, lines)) <= 80
    assert lines[5:13] == [
        "teacher, 6 layers",
        "  PyTorch, float32   90.0  86.7–92.6        –       –  90.9       15.6  23.4",
        "  ONNX, float32      90.0  86.7–92.6        –       –  91.3        9.3  14.0",
        "  ONNX, int8         89.5  86.1–92.1     -0.5  99.5 %  23.3        3.8   5.7",
        "kd, 3 layers",
        "  PyTorch, float32   88.0  84.4–90.8     -2.0  98.0 %  69.6        7.5  11.2",
        "  ONNX, float32      88.0  84.4–90.8     -2.0  98.0 %  69.7        4.4   6.6",
        "* ONNX, int8         87.5  83.9–90.4     -2.5  97.5 %  17.6        1.8   2.7",
    ]
    assert lines[-1] == "ms: on AMD EPYC, 1 CPU thread"


def test_a_refused_format_says_why_below_its_line() -> None:
    lines = terminal_table(compression(student=REFUSED)).splitlines()
    number = next(number for number, line in enumerate(lines) if "refused" in line)
    assert lines[number - 1].split() == [
        "ONNX,",
        "int8",
        "75.0",
        "70.5–79.0",
        "-15.0",
        "85.0",
        "%",
        "–",
        "–",
        "–",
    ]
    assert lines[number].startswith("    ! refused: 13.0 % of the answers to dev change")
    assert max(map(len, lines)) <= 80
    assert next(line for line in lines if line.startswith("*")).startswith("* ONNX, float32")


def test_every_figure_is_in_the_complete_table() -> None:
    table = variants_table(compression())
    rows = {(row[0], row[1]): dict(zip(table.headings, row, strict=True)) for row in table.rows}
    assert rows["kd, 3 layers", "ONNX, int8"] == {
        "model": "kd, 3 layers",
        "format": "ONNX, int8",
        "accuracy": "87.5",
        "95 % interval": "83.9–90.4",
        "vs teacher": "-2.5",
        "vs fine-tuning": "+12.5",
        "teacher's answer": "97.5 %",
        "MB": "17.6",
        "ms a text, p50": "1.8",
        "p99": "2.7",
        "texts a second": "744",
    }


def test_students_of_several_seeds_are_told_apart() -> None:
    others = [model("kd-3l-s7", answers(49), sizes={"torch-float32": 1})]
    names = {row[0] for row in variants_table(compression(others=others, timings=TIMINGS)).rows}
    assert names == {"teacher, 6 layers", "kd, 3 layers, seed 42", "kd, 3 layers, seed 7"}
