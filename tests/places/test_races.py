"""Processes at one place, plain and through faults: one winner each, whole files, complete lists.

`--junitxml` shows how many requests and calls met which fault.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fault_proxy import Schedule, fault_proxy
from racers import (
    Course,
    create_each,
    create_once,
    one_winner_each,
    race,
    write_and_list,
    write_and_read_files,
)
from s3_server import new_bucket, s3_environment

pytestmark = pytest.mark.slow


@pytest.fixture(params=["folder", "faulty folder", "s3", "faulty s3"])
def course(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Course]:
    """A place; what its proxy did to how many requests goes into the test's report."""
    schedule = Schedule(seed=1, rate=0.15)
    variables = {"RACE_FOLDER": str(tmp_path / "local")}
    (tmp_path / "local").mkdir()
    with ExitStack() as stack:
        if request.param.endswith("folder"):
            (tmp_path / "place").mkdir()
            place, rate = str(tmp_path / "place"), 0.03 if "faulty" in request.param else 0.0
        else:
            endpoint = request.getfixturevalue("endpoint")
            place, rate = f"s3://{new_bucket(endpoint)}/some/prefix", 0.0
            if "faulty" in request.param:
                endpoint = stack.enter_context(fault_proxy(endpoint, schedule))
            variables.update(s3_environment(endpoint))
        yield Course(place, tuple(variables.items()), rate)
    request.node.user_properties.append(("proxy", dict(schedule.counts)))


def test_of_sixteen_first_writers_one_wins_in_each_of_fifty_rounds(
    course: Course, record_property: Callable[[str, object], None]
) -> None:
    results, faults = race(course, 16, create_each)
    record_property("disk", dict(faults))
    record_property("writers without an answer", one_winner_each(results))


def test_create_itself_has_at_most_one_winner_in_each_of_fifty_rounds(
    course: Course, record_property: Callable[[str, object], None]
) -> None:
    results, faults = race(course, 16, create_once)
    winners = Counter(sum(created is True for created in turn) for turn in zip(*results, strict=True))
    record_property("disk", dict(faults))
    record_property("winners", dict(winners))
    # Where the winner's answer was lost, nobody knows that it won.
    assert set(winners) <= {0, 1}
    assert winners[1] >= 40


def test_files_come_back_whole_or_not_at_all(
    course: Course, record_property: Callable[[str, object], None]
) -> None:
    results, faults = race(course, 4, write_and_read_files)
    outcomes = Counter(outcome for result in results for outcome in result)
    record_property("disk", dict(faults))
    record_property("outcomes", dict(outcomes))
    assert outcomes["other"] == 0
    assert outcomes["same"] > 0


def test_a_list_has_what_was_written_before_it_began(
    course: Course, record_property: Callable[[str, object], None]
) -> None:
    results, faults = race(course, 4, write_and_list)
    record_property("disk", dict(faults))
    record_property("lists", sum(results))
    assert all(num_lists > 0 for num_lists in results)
