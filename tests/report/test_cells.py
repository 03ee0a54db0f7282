"""The cells of a report's tables: each number's unit, digits and sign, and the names of metrics and models."""

from dataclasses import replace

import pytest
from report_rows import TEACHER, speed, student

from pkd_core.report.cells import comparison, metric_name
from pkd_core.report.results import ResultRow, aggregate
from pkd_core.report.summary import GroupSummary


def cells_of(*rows: ResultRow) -> list[str]:
    """Return the comparison of the last group: vs teacher, gap closed, parameters, MB, smaller, faster."""
    return comparison(aggregate(rows)[-1])


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("dev/accuracy", "accuracy"),
        ("dev/f1", "F1"),
        ("dev/macro_f1", "macro F1"),
        ("dev/matthews", "Matthews"),
        ("dev/pearson", "Pearson"),
        ("dev/spearman", "Spearman"),
        ("dev-mismatched/accuracy", "accuracy (dev-mismatched)"),
        ("dev-mismatched/f1", "F1 (dev-mismatched)"),
    ],
)
def test_a_metric_is_named_with_its_split_unless_that_is_dev(key: str, name: str) -> None:
    assert metric_name(key) == name


def test_a_difference_from_the_teacher_has_a_sign_and_one_decimal() -> None:
    assert cells_of(TEACHER, student("kd", 0.6544))[0] == "-4.6"
    assert cells_of(TEACHER, student("kd", 0.7112))[0] == "+1.1"
    assert cells_of(TEACHER, student("kd", 0.6999))[0] == "+0.0"
    assert cells_of(student("kd", 0.6999))[0] == "–"


def test_the_part_of_the_gap_that_is_closed_is_a_whole_percentage_without_a_negative_nothing() -> None:
    finetuned = student("finetune", 0.50)
    assert cells_of(TEACHER, finetuned, student("kd", 0.5733))[1] == "37 %"
    assert cells_of(TEACHER, finetuned, student("kd", 0.4995))[1] == "0 %"
    assert cells_of(TEACHER, finetuned, student("kd", 0.4800))[1] == "-10 %"


@pytest.mark.parametrize(
    ("parameters", "cell"),
    [(340_050_100, "340.1M"), (1_000_000, "1.0M"), (999_940, "999.9k"), (25_250, "25.2k")],
)
def test_parameters_are_counted_in_millions_or_thousands(parameters: int, cell: str) -> None:
    assert cells_of(replace(TEACHER, parameters=parameters))[2] == cell


def test_a_size_is_in_megabytes_of_a_million_bytes() -> None:
    assert cells_of(replace(TEACHER, size_bytes=1_340_050_100))[3] == "1340.1"
    assert cells_of(replace(TEACHER, size_bytes=26_400))[3] == "0.0"


def test_ratios_to_the_teacher_have_two_decimals() -> None:
    row = student("kd", 0.6, parameters=66_955_010, speed=speed(1.9349))
    assert cells_of(TEACHER, row)[4:] == ["1.64", "1.93 ± 0.02"]
    assert cells_of(TEACHER, replace(row, speed=None))[4:] == ["1.64", "–"]
    assert cells_of(row)[4:] == ["–", "1.93 ± 0.02"]


def test_a_model_of_one_layer_is_named_in_the_singular() -> None:
    one, two = (aggregate([student("kd", 0.6, num_layers=depth)])[0] for depth in (1, 2))
    assert (one.name, two.name) == ("kd, 1 layer", "kd, 2 layers")
    assert GroupSummary.of(one, None).name == "RTE-kd-1l"
