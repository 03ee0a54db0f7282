"""A run over several hosts ends as on one host, although a host is lost in the middle of a training."""

from pathlib import Path

import pytest

from cluster.cases import CASES, measure
from cluster.hosts import missing_for_hosts
from cluster.scenario import Seen, run_on_one_host

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(missing_for_hosts()), reason=f"hosts need {missing_for_hosts()}"),
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return run_on_one_host(tmp_path_factory.mktemp("one-host") / "hosts")


@pytest.mark.parametrize("name", ["s3-cut", "folder-killed", "folder-frozen"])
def test_a_lost_host_changes_no_result(name: str, plain: Seen, tmp_path: Path) -> None:
    measured = measure(CASES[name], tmp_path / "hosts", plain)
    assert measured.wrong == []
    assert measured.loss is not None
    assert measured.loss.first_step > 10, "the training began anew"
