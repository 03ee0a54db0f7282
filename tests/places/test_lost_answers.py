"""Answers that never arrive: the server has acted, and the client does not know."""

from pathlib import Path

import pytest
from fault_proxy import Fault, Schedule, fault_proxy
from s3_server import new_bucket, s3_environment

from pkd_core.errors import StoreError
from pkd_core.places.first_writer import create_or_read
from pkd_core.places.s3 import S3Objects


def place_behind(proxy: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Objects:
    """Return an empty place whose requests go through a proxy."""
    for name, value in s3_environment(proxy).items():
        monkeypatch.setenv(name, value)
    return S3Objects(new_bucket(endpoint), "")


@pytest.mark.parametrize("fault", [Fault.CUT_AFTER, Fault.TWICE])
def test_a_writer_whose_answer_was_lost_finds_out_that_it_was_first(
    fault: Fault, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = Schedule(first=[fault])
    with fault_proxy(endpoint, schedule) as proxy:
        objects = place_behind(proxy, endpoint, monkeypatch)
        assert create_or_read(objects, "manifest.json", b"mine") == b"mine"
        assert create_or_read(objects, "manifest.json", b"other") == b"mine"
    assert schedule.counts[fault.value] == 1


def test_create_alone_does_not_know_that_it_was_first(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = Schedule(first=[Fault.TWICE, None, Fault.CUT_AFTER])
    with fault_proxy(endpoint, schedule) as proxy:
        objects = place_behind(proxy, endpoint, monkeypatch)
        assert not objects.create("sent-twice", b"mine")
        assert not objects.create("cut-off", b"mine")  # obstore's second try meets the object of its first
        assert [found.key for found in objects.list("")] == ["cut-off", "sent-twice"]


def test_a_place_that_never_answers_fails_in_one_sentence(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkd_core.places.bucket._MAX_RETRIES", 1)
    schedule = Schedule(rate=1, faults=[Fault.CUT_BEFORE])
    with fault_proxy(endpoint, schedule) as proxy:
        objects = place_behind(proxy, endpoint, monkeypatch)
        with pytest.raises(
            StoreError, match=r"^pkd needs to create a in s3://bucket-\w+, but the connection"
        ):
            create_or_read(objects, "a", b"mine")
    assert schedule.counts[Fault.CUT_BEFORE.value] >= 4


def test_a_list_that_breaks_off_is_asked_for_again(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = Schedule(first=[None, Fault.CUT_ANSWER, Fault.CUT_ANSWER, None, Fault.CUT_ANSWER])
    with fault_proxy(endpoint, schedule) as proxy:
        objects = place_behind(proxy, endpoint, monkeypatch)
        objects.put("a", b"content")
        assert [found.key for found in objects.list("")] == ["a"]
        found = objects.read("a")
    assert found is not None
    assert found[0] == b"content"
    assert schedule.counts[Fault.CUT_ANSWER.value] == 3


@pytest.mark.parametrize("fault", [Fault.CUT_REQUEST, Fault.CUT_AFTER, Fault.CUT_ANSWER])
def test_a_file_whose_parts_are_cut_arrives_whole(
    fault: Fault, endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(bytes(range(256)) * (6 << 12) + b"end")  # 6 MiB: two parts
    schedule = Schedule(first=[None, fault, None, None, None, None, fault])
    with fault_proxy(endpoint, schedule) as proxy:
        objects = place_behind(proxy, endpoint, monkeypatch)
        objects.upload(sent, "file")
        objects.download("file", got)
    assert got.read_bytes() == sent.read_bytes()
    assert schedule.counts[fault.value] == 2
