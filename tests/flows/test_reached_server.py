"""The Prefect server of a run on a Ray cluster is one that its workers reach."""

import pytest

from flows.service.listening import Listening
from flows.service.reached_server import listening_for, server_for
from pkd_core.errors import ConfigError

HERE = "http://127.0.0.1:4200/api"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster towards which this machine has another address."""
    monkeypatch.setattr("flows.service.reached_server.listening_for", lambda _: Listening("10.0.0.7"))
    monkeypatch.delenv("PREFECT_API_URL")


@pytest.mark.parametrize("placement", ["threads", "ray", "127.0.0.1:6379", "ray://localhost:10001"])
def test_nothing_listens_for_others_where_all_workers_are_on_this_machine(placement: str) -> None:
    assert listening_for(placement) == Listening("127.0.0.1")
    assert server_for(placement, HERE) == HERE


def test_a_host_without_an_address_is_a_mistake() -> None:
    with pytest.raises(
        ConfigError, match=r"--placement no\.such\.host\.invalid:6379 names a host that cannot be"
    ):
        listening_for("no.such.host.invalid:6379")


@pytest.mark.usefixtures("elsewhere")
def test_a_running_server_that_workers_do_not_reach_is_not_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert server_for("10.0.0.5:6379", HERE) is None
    assert capsys.readouterr().out == (
        "the running Prefect server listens on this machine alone: continuing without it\n"
    )
    assert server_for("10.0.0.5:6379", "http://10.0.0.7:4200/api") == "http://10.0.0.7:4200/api"


@pytest.mark.usefixtures("elsewhere")
def test_a_server_that_the_user_names_must_be_reached_by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", HERE)
    with pytest.raises(
        ConfigError, match="PREFECT_API_URL names one of this machine alone; start it with `pkd up"
    ):
        server_for("10.0.0.5:6379", HERE)
