"""What a search tries: the paper's grids by default, in rounds; and the sentences that refuse what has no meaning."""

from typing import Any

import pytest

from pkd_core.config.overrides import build_run_config
from pkd_core.config.search import (
    Round,
    build_search_config,
    describe_point,
    read_by,
    searched_rounds,
)
from pkd_core.config.settings import RunConfig
from pkd_core.errors import ConfigError


def run_of(**values: Any) -> RunConfig:
    return build_run_config(**{"tasks": ["MRPC"], **values})


def rounds_of(search: dict[str, Any] | None = None, **run: Any) -> list[Round]:
    return searched_rounds(build_search_config(search or {}), run_of(**run))


def test_the_papers_protocol_is_the_default() -> None:
    rounds = rounds_of()
    assert [(one.method, len(one.points)) for one in rounds] == [
        ("finetune", 3),
        ("kd", 27),
        ("pkd-skip", 24),
        ("pkd-last", 24),
    ]
    assert rounds[1].grid == {
        "distill.alpha": (0.2, 0.5, 0.7),
        "distill.temperature": (5.0, 10.0, 20.0),
        "student.learning_rate": (5e-5, 2e-5, 1e-5),
    }
    assert rounds[2].grid == {
        "student.learning_rate": (5e-5, 2e-5, 1e-5),
        "distill.beta": (10.0, 100.0, 500.0, 1000.0),
        "distill.normalize": (True, False),
    }


def test_every_combination_is_a_point_once() -> None:
    (kd,) = rounds_of({"alpha": "0.2, 0.5", "temperature": "5", "learning_rate": [1e-5]}, methods=["kd"])
    assert kd.points == [
        {"distill.alpha": 0.2, "distill.temperature": 5.0, "student.learning_rate": 1e-5},
        {"distill.alpha": 0.5, "distill.temperature": 5.0, "student.learning_rate": 1e-5},
    ]
    assert kd.searched == ("distill.alpha",)


def test_alpha_and_temperature_are_chosen_with_kd_and_the_patient_methods_keep_them() -> None:
    kd, last = rounds_of(methods=["pkd-last"])
    assert (kd.method, last.method) == ("kd", "pkd-last")
    assert kd.kept(kd.points[0]) == {"distill.alpha": 0.2, "distill.temperature": 5.0}
    assert "distill.alpha" not in last.grid


def test_no_round_of_kd_is_needed_where_alpha_and_temperature_have_one_value() -> None:
    (last,) = rounds_of({"alpha": "0.5", "temperature": "10"}, methods=["pkd-last"])
    assert (last.method, last.grid["distill.alpha"], len(last.points)) == ("pkd-last", (0.5,), 24)


def test_a_temperature_is_not_searched_where_the_loss_has_none() -> None:
    (kd,) = rounds_of(methods=["kd"], settings={"distill.distillation_loss": "logits-mse"})
    assert tuple(kd.grid) == ("distill.alpha", "student.learning_rate")


def test_the_teachers_rates_are_a_round_before_all_others() -> None:
    teacher, finetune = rounds_of({"teacher_learning_rate": "1e-5,2e-5"}, methods=["finetune"])
    assert teacher == Round("teacher", {"teacher.learning_rate": (1e-5, 2e-5)})
    assert teacher.kept(teacher.points[1]) == {"teacher.learning_rate": 2e-5}
    assert finetune.method == "finetune"


def test_a_method_depends_on_its_own_settings_and_its_teachers() -> None:
    settings = {"teacher.learning_rate": 1e-5, "distill.alpha": 0.5, "distill.beta": 10.0}
    assert read_by("finetune", settings) == {"teacher.learning_rate": 1e-5}
    assert read_by("kd", settings) == {"teacher.learning_rate": 1e-5, "distill.alpha": 0.5}
    assert read_by("pkd-last", settings) == settings


@pytest.mark.parametrize(
    ("search", "run", "sentence"),
    [
        ({"gamma": "1"}, {}, "there is no setting 'search.gamma': a search has search.alpha, "),
        ({"alpha": ""}, {}, "search.alpha needs at least one value"),
        ({"alpha": "0.2,,0.5"}, {}, "search.alpha needs at least one value"),
        ({"alpha": []}, {}, "search.alpha cannot be"),
        ({"alpha": "0.2,0.20"}, {}, "search.alpha has a value twice: 0.2, 0.2"),
        ({"alpha": "0.2,1.5"}, {}, "search.alpha.1 cannot be '1.5': input should be less than or equal to 1"),
        ({"temperature": "warm"}, {}, "search.temperature.0 cannot be 'warm'"),
        ({"holdout": 0.9}, {}, "search.holdout cannot be 0.9"),
        ({"choose_on": "test"}, {}, "search.choose_on cannot be 'test'"),
        ({"trials": 5}, {}, "search.trials has no effect without search.sampler=tpe"),
        ({"prune": True}, {}, "search.prune has no effect without search.sampler=tpe"),
        ({"sampler": "tpe", "prune": True}, {"seeds": [1]}, "search.prune has no effect with one seed"),
        (
            {"choose_on": "dev", "holdout": 0.2},
            {},
            "search.holdout has no effect without search.choose_on=train",
        ),
        ({}, {"tasks": ["MRPC", "RTE"]}, "a search is for one task, got 2"),
        ({}, {"student_layers": [3, 6]}, "a search is for one depth, got 2"),
        (
            {},
            {"settings": {"distill.beta": 5}},
            "distill.beta is searched, and cannot be set too; give search.beta=",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(search: dict[str, Any], run: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        rounds_of(search, **run)
    assert sentence in str(refused.value)


def test_a_point_is_described_by_short_names() -> None:
    point = {"distill.temperature": 10.0, "student.learning_rate": 2e-5, "distill.normalize": False}
    assert describe_point(point) == "T=10 lr=2e-05 normalize=false"


def test_values_that_differ_are_shown_differently() -> None:
    assert describe_point({"distill.alpha": 0.12345678}) == "alpha=0.12345678"
