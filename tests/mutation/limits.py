"""A pytest plugin: a test that takes many times as long as without a mutant ends its worker as timed out."""

import os

import pytest
from mutmut.state import state

_TIMED_OUT = 36  # mutmut's exit status for it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test ten times its own time, and ten seconds for a busy machine."""
    for item in items:
        item.add_marker(pytest.mark.timeout(10 + 10 * state().duration_by_test.get(item.nodeid, 60)))


def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> None:
    """End the process at a test's timeout."""
    if call.excinfo is not None and "from pytest-timeout" in str(call.excinfo.value):
        os._exit(_TIMED_OUT)
