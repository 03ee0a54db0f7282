"""The report's distances: means over seeds, a table for each depth, and a plot that has what is in it."""

from pkd_core.evaluation.distances_result import Distances, LayerDistance
from pkd_core.report.distances import MethodDistances, about_distances, distances_tables, mean_over_seeds
from pkd_core.report.page.plots import distance_plots


def of_method(method: str, num_layers: int, *layers: tuple[int, int, bool, float, float]) -> MethodDistances:
    return MethodDistances("RTE", method, num_layers, 2, 1000, [LayerDistance(*layer) for layer in layers])


KD = of_method("kd", 2, (1, 2, False, 0.8, 0.61249), (2, 4, False, 2.0, 1.0))
LAST = of_method("pkd-last", 2, (1, 2, False, 0.8, 0.3), (1, 3, True, 1.2, 0.1), (2, 4, False, 2.0, 1.1))
ONE = of_method("kd", 1, (1, 4, False, 1.9, 0.7))
WIDER = of_method("pkd-skip", 2)


def test_distances_of_several_seeds_are_their_means() -> None:
    seeds = [Distances(48, [LayerDistance(1, 2, True, before, 3 * before)]) for before in (0.25, 0.75)]
    found = mean_over_seeds("RTE", "pkd-skip", 2, seeds)
    assert found == MethodDistances("RTE", "pkd-skip", 2, 2, 48, [LayerDistance(1, 2, True, 0.5, 1.5)])


def test_each_depth_has_a_table_with_a_column_for_each_pair_of_layers() -> None:
    two, one = distances_tables([KD, LAST, ONE, WIDER])
    assert two.headings == ["student ← teacher layer", "1 ← 2", "1 ← 3", "2 ← 4"]
    assert two.rows == [
        ["kd, 2 layers", "0.800 → 0.612", "–", "2.000 → 1.000"],
        ["pkd-last, 2 layers", "0.800 → 0.300", "1.200 → 0.100*", "2.000 → 1.100"],
    ]
    assert (one.headings[1:], one.rows) == (["1 ← 4"], [["kd, 1 layer", "1.900 → 0.700"]])


def test_where_no_widths_agree_a_sentence_says_so() -> None:
    assert about_distances([WIDER]).startswith("Not measured: the students' states have another width")
    assert "over 1000 training examples" in about_distances([KD])
    assert (distances_tables([WIDER]), distance_plots([WIDER], [2])) == ([], [])


def test_the_plot_has_each_trained_method_and_the_state_before_once_for_a_depth() -> None:
    (plot,) = distance_plots([KD, LAST, ONE, WIDER], [2, 1])
    names = [line.name for line in plot.lines]
    assert names == [
        "2 layers, before training",
        "kd, 2 layers, trained",
        "pkd-last, 2 layers, trained",
        "1 layer, before training",
        "kd, 1 layer, trained",
    ]
    assert [line.style for line in plot.lines[:3]] == ["before d0", "m2 d0", "m4 d0"]
    assert [mark.name for mark in plot.marks[:3]] == [
        "2 layers, before training: 0.800 to layer 2",
        "2 layers, before training: 2.000 to layer 4",
        "kd, 2 layers, trained: 0.612 to layer 2",
    ]
    assert len(plot.marks) == 8, "matched layers of another depth are not among them"
