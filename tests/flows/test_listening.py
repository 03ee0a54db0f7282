"""Servers listen where they are told, and answer under the names by which that address is reached, and no others."""

import pytest

from flows.service.listening import HERE, Listening, listening_at
from flows.service.login import Login
from flows.service.services import Servers
from pkd_core.errors import ConfigError


def test_by_default_servers_listen_on_loopback_under_its_two_names() -> None:
    assert listening_at("127.0.0.1", []) == HERE
    assert not HERE.is_for_others
    assert HERE.origins(4200) == "http://127.0.0.1:4200,http://localhost:4200"
    assert HERE.patterns() == "127.0.0.1:*,localhost:*"


def test_on_an_address_for_others_they_answer_under_that_and_the_names_alone() -> None:
    lab = Listening("10.0.0.1", ("lab.example.org", "lab"))
    assert lab.is_for_others
    assert lab.origins(4200) == "http://10.0.0.1:4200,http://lab.example.org:4200,http://lab:4200"
    assert lab.patterns() == "10.0.0.1:*,lab.example.org:*,lab:*"
    servers = Servers(4200, 5000, Login("me", "a-password-of-mine"), lab)
    assert (servers.prefect_api, servers.mlflow) == ("http://10.0.0.1:4200/api", "http://10.0.0.1:5000")
    assert servers.prefect_api_for_others == "http://lab.example.org:4200/api"
    assert servers.mlflow_for_others == "http://lab.example.org:5000"


def test_on_every_address_this_machines_processes_use_loopback() -> None:
    everywhere = listening_at("0.0.0.0", ["Lab"])
    assert everywhere.is_for_others
    assert (everywhere.from_here, everywhere.from_elsewhere) == ("127.0.0.1", "lab")
    assert everywhere.patterns() == "127.0.0.1:*,localhost:*,lab:*"


@pytest.mark.parametrize(
    ("host", "names", "sentence"),
    [
        ("203.0.113.77", [], r"^--host needs an IPv4 address of this machine, .* got '203\.0\.113\.77'; "),
        ("lab", [], r"^--host needs an IPv4 address of this machine, .* got 'lab'; .* by --name\.$"),
        ("::1", [], r"^--host needs an IPv4 address .* got '::1'; "),
        ("0.0.0.0", [], r"^--host 0\.0\.0\.0 listens on every address, .* --name lab\.example\.org\.$"),
        ("127.0.0.1", ["http://lab"], r"^--name needs the name .* got 'http://lab'; "),
        ("127.0.0.1", ["*"], r"^--name needs the name .* got '\*'; "),
    ],
)
def test_what_cannot_be_listened_on_or_named_is_refused_in_one_sentence(
    host: str, names: list[str], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        listening_at(host, names)
