"""Opening places: which URLs there are, and what is refused at the first use."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from forgetful_server import forgetful_server
from s3_server import new_bucket, s3_environment

from pkd_core.errors import ConfigError, PkdError, StoreError
from pkd_core.places import opening
from pkd_core.places.folder import FolderObjects
from pkd_core.places.opening import MARKER, open_place


def use_server(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name, value in s3_environment(endpoint).items():
        monkeypatch.setenv(name, value)


def test_a_folder_is_opened_and_tried_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = open_place(f"file://{tmp_path}/")
    assert objects.url == f"file://{tmp_path}"
    assert [found.key for found in objects.list("")] == [MARKER]

    def fail(_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(opening, "try_out", fail)
    assert open_place(f"file://{tmp_path}") == FolderObjects(tmp_path)


def test_a_bucket_is_opened_and_tried_out_again_behind_another_server(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_server(monkeypatch, endpoint)
    bucket = new_bucket(endpoint)
    objects = open_place(f"s3://{bucket}/a/b/")
    assert objects.url == f"s3://{bucket}/a/b"
    assert [found.key for found in objects.list("")] == [MARKER]
    tried: list[object] = []
    monkeypatch.setattr(opening, "try_out", tried.append)
    open_place(f"s3://{bucket}/a/b")
    assert tried == []
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.replace("127.0.0.1", "localhost"))
    again = open_place(f"s3://{bucket}/a/b")
    assert tried == [again]


@pytest.mark.parametrize(
    ("ignored", "fault"),
    [("If-None-Match", "creates an object twice"), ("If-Match", "ignores an object's tag")],
)
def test_a_server_that_ignores_conditions_is_refused(
    ignored: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forgetful_server(ignored) as endpoint:
        use_server(monkeypatch, endpoint)
        for _ in range(2):
            with pytest.raises(
                StoreError, match=f"s3://bucket/x cannot hold a workspace, because it {fault}"
            ):
                open_place("s3://bucket/x")


def test_the_small_server_that_ignores_nothing_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    with forgetful_server("nothing") as endpoint:
        use_server(monkeypatch, endpoint)
        open_place("s3://bucket/x")


def test_a_folder_whose_links_overwrite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.link", lambda source, target: Path(target).write_bytes(Path(source).read_bytes()))
    with pytest.raises(StoreError, match="creates an object twice"):
        open_place(tmp_path.as_uri())


def test_a_folder_without_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", refuse)
    with pytest.raises(StoreError, match="'Operation not supported'"):
        open_place(tmp_path.as_uri())


@pytest.mark.parametrize(
    "url",
    [
        *(
            "gs://bucket",
            "bucket/prefix",
            "s3:/bucket",
            "s3://",
            "s3:///prefix",
            "s3://b",
            "s3://bucket/a//b",
        ),
        *("s3://bucket/../other", "file://host/folder", "file://relative", "file:///no/such/folder"),
        *("s3://bucket/a?region=x", "s3://bucket/a#b"),
    ],
)
def test_a_wrong_url_ends_in_one_sentence(url: str) -> None:
    with pytest.raises(PkdError) as raised:
        open_place(url)
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


def test_a_login_in_a_url_or_an_endpoint_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="without login") as raised:
        open_place("s3://someone:hunter2@bucket/prefix")
    assert "hunter2" not in str(raised.value)
    use_server(monkeypatch, "http://someone:hunter2@127.0.0.1:1")
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL must be an address") as raised:
        open_place("s3://bucket/prefix")
    assert "hunter2" not in str(raised.value)


def test_without_obstore_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(ConfigError, match=r"pip install 'pkd\[s3\]'"):
        open_place("s3://bucket/prefix")


def missing_bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_server(monkeypatch, endpoint)


def no_server(_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_server(monkeypatch, "http://127.0.0.1:1")
    monkeypatch.setattr("pkd_core.places.bucket._MAX_RETRIES", 1)


def no_credentials(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_server(monkeypatch, endpoint)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setattr("pkd_core.places.bucket._MAX_RETRIES", 0)


@pytest.mark.parametrize(
    ("arrange", "sentence"),
    [
        (no_credentials, "there are no credentials: set AWS_ACCESS_KEY_ID"),
        (missing_bucket, "the server answers 404 NoSuchBucket: create the bucket"),
        (no_server, "the server cannot be reached: check AWS_ENDPOINT_URL"),
    ],
)
def test_a_server_that_fails_is_told_in_one_sentence_without_secrets(
    arrange: Callable[[str, pytest.MonkeyPatch], None],
    sentence: str,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arrange(endpoint, monkeypatch)
    with pytest.raises(StoreError) as raised:
        open_place("s3://no-such-bucket/prefix")
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "a-secret-of-tests" not in str(raised.value)
