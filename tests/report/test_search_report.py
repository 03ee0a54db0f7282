"""The report of a search: which point is the best, what it was chosen by, and what a reader is warned of."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pkd_core.report.search_figure import draw_search
from pkd_core.report.search_results import (
    FinalScore,
    HeldOut,
    SearchResult,
    TriedPoint,
    TriedRound,
    best_round,
)
from pkd_core.report.search_text import search_markdown, search_table
from pkd_core.report.search_write import write_search_report


def point(alpha: float, *scores: float) -> TriedPoint:
    return TriedPoint({"distill.alpha": alpha}, dict(enumerate(scores, 1)))


KD = TriedRound("kd", {}, (point(0.2, 0.70, 0.72), point(0.5, 0.74, 0.76), point(0.7, 0.75, 0.75)))
FINETUNE = TriedRound("finetune", {}, (TriedPoint({"student.learning_rate": 5e-5}, {1: 0.7, 2: 0.7}),))
RESULT = SearchResult(
    task="MRPC",
    num_layers=3,
    metric="accuracy",
    held_out=HeldOut(0.1, 0),
    num_chosen_by=367,
    num_dev=408,
    sampler="grid",
    rounds=(FINETUNE, KD),
    finals=(
        FinalScore("teacher", {}, {0: 0.85}, ""),
        FinalScore("finetune", {"student.learning_rate": 5e-5}, {1: 0.76, 2: 0.78}, "pkd run finetune"),
        FinalScore("kd", {"distill.alpha": 0.5}, {1: 0.73, 2: 0.75}, "pkd run kd"),
    ),
)


def test_the_best_point_has_the_highest_mean_and_of_equal_ones_is_the_first() -> None:
    assert KD.best.settings == {"distill.alpha": 0.5}
    assert [one.settings["distill.alpha"] for one in KD.ranked] == [0.5, 0.7, 0.2]


def test_the_order_of_seeds_decides_nothing() -> None:
    # Added up in these orders, the sums differ in their last bit.
    first, second = point(0.2, 0.1, 0.2, 0.3), point(0.5, 0.3, 0.2, 0.1)
    assert TriedRound("kd", {}, (first, second)).best is first
    assert TriedRound("kd", {}, (second, first)).best is second


def test_a_point_that_lacks_a_seed_is_not_chosen_and_comes_last() -> None:
    left_early = point(0.9, 0.99)
    tried = replace(KD, points=(left_early, *KD.points))
    assert tried.best.settings == {"distill.alpha": 0.5}
    assert tried.ranked[-1] is left_early


def test_the_winner_is_the_method_that_was_best_where_it_was_chosen_not_on_dev() -> None:
    assert best_round(RESULT.rounds) is KD
    assert RESULT.winner.method == "kd"
    assert RESULT.finals[1].point.mean > RESULT.winner.point.mean


def test_a_teachers_round_has_no_winner() -> None:
    teacher = TriedRound("teacher", {}, (TriedPoint({"teacher.learning_rate": 2e-5}, {0: 0.9}),))
    assert best_round((teacher, KD)) is KD


def test_a_report_says_that_it_chose_on_part_of_train() -> None:
    for text in (search_markdown(RESULT, "search.png"), " ".join(search_table(RESULT).split())):
        assert "Chosen on part of train: 4 settings were compared by accuracy on 367 training rows" in text
        assert "(holdout=0.1, seed=0)" in text
        assert "whose 408 examples no setting was chosen by" in text
        assert "optimistic" not in text


def test_a_report_says_that_it_chose_on_dev_and_that_this_is_optimistic() -> None:
    on_dev = replace(RESULT, held_out=None, num_chosen_by=408)
    for text in (search_markdown(on_dev, "search.png"), " ".join(search_table(on_dev).split())):
        assert (
            "Chosen on dev, as the authors did: 4 settings were compared by accuracy on the same 408" in text
        )
        assert "so the best score is optimistic" in text
        assert "part of train:" not in text


def test_the_tables_have_means_deviations_and_the_command_that_repeats_the_best() -> None:
    page, table = search_markdown(RESULT, "search.png"), search_table(RESULT)
    assert "| best | 0.5 | 75.0 ± 1.4 | 2 |" in page
    assert "| kd (best) | 75.0 ± 1.4 | 74.0 ± 1.4 | alpha=0.5 |" in page
    assert "Best: **kd**. It is repeated by\n\n    pkd run kd" in page
    assert "  best  0.5    75.0 ± 1.4  2\n" in table
    assert max(map(len, table.splitlines())) <= 80


def test_points_that_the_examples_cannot_tell_apart_are_counted() -> None:
    # sqrt(0.75 * 0.25 / 367) is 2.3 points; 71 is 4 points away.
    assert "1 of the other points scores within one standard error (2.3) of the best" in search_markdown(
        RESULT, ""
    )
    matthews = replace(RESULT, metric="matthews")
    assert "standard error" not in search_markdown(matthews, "")


def test_a_long_round_is_cut_in_the_terminal_and_whole_on_the_page() -> None:
    points = tuple(point(number / 100, 0.5, 0.5) for number in range(14))
    many = replace(RESULT, rounds=(FINETUNE, replace(KD, points=points)))
    assert "and 4 more" in search_table(many)
    assert search_markdown(many, "").count("| 50.0 ± 0.0 | 2 |") == 14


def test_the_files_have_the_same_bytes_for_the_same_search(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_search_report(tmp_path / name, RESULT)
    for name in ("search.md", "search.json", "search.txt", "search.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    found = json.loads((tmp_path / "a" / "search.json").read_text(encoding="utf-8"))
    assert found["chosen_on"] == "train"
    assert found["best"]["method"] == "kd"
    assert found["best"]["mean"] == pytest.approx(0.74)
    assert found["rounds"][1]["points"][0]["scores"] == {"1": 0.74, "2": 0.76}


def test_the_figure_has_a_plot_for_each_setting_that_was_searched() -> None:
    plots = [axes for axes in draw_search(RESULT).axes if axes.axison]
    assert [axes.get_xlabel() for axes in plots] == ["alpha"]
    assert [label.get_text() for label in plots[0].get_xticklabels()] == ["0.2", "0.5", "0.7"]
    (best,) = [line for line in plots[0].lines if line.get_marker() == "o"]
    assert best.get_xydata()[0] == pytest.approx([1, 75.0])
