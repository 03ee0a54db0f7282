"""The names of flow runs: what a person typed stays, and other names tell what is computed."""

from typing import Any

import pytest
from prefect.utilities.names import generate_slug

from flows.run_name import describe_run, is_generated
from pkd_core.config.settings import DEFAULT_METHODS

PLAIN: dict[str, Any] = {
    "tasks": ["RTE", "MRPC"],
    "methods": list(DEFAULT_METHODS),
    "student_layers": None,
    "seeds": [42],
    "settings": {},
}


def test_names_that_prefect_makes_up_are_known() -> None:
    assert all(is_generated(generate_slug(2)) for _ in range(50))


@pytest.mark.parametrize("name", ["xi2-galvin", "omicron3", "pi-elba"])
def test_names_that_prefects_form_suggests_are_known(name: str) -> None:
    assert is_generated(name)


@pytest.mark.parametrize("name", ["first-try", "my run", "lower-lr", "RTE", "Demo: kd", "tiger"])
def test_a_typed_name_is_not_taken_for_a_generated_one(name: str) -> None:
    assert not is_generated(name)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "RTE MRPC"),
        ({"methods": ["kd"]}, "RTE MRPC: kd"),
        ({"student_layers": [3, 6], "seeds": [1, 2]}, "RTE MRPC: 3 6 layers, seeds 1 2"),
        ({"settings": {"distill.beta": 3.0}}, "RTE MRPC: distill.beta=3.0"),
        ({"student_model": "/models/bert-base"}, "RTE MRPC: students from bert-base"),
        ({"student_model": 7}, "RTE MRPC"),
        ({"tasks": 7, "methods": "kd", "settings": "x"}, "7: kd"),
    ],
)
def test_a_run_is_named_for_its_tasks_and_what_is_not_the_default(changes: dict[str, Any], name: str) -> None:
    assert describe_run(PLAIN | changes) == name


def test_a_long_name_is_cut() -> None:
    assert len(describe_run(PLAIN | {"tasks": [f"Task{number}" for number in range(99)]})) <= 100
