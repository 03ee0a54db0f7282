"""What every place keeps to: a shared folder and an object store."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pkd_core.errors import StoreError
from pkd_core.places.first_writer import create_or_read
from pkd_core.places.objects import Objects
from pkd_core.places.opening import try_out

ODD_KEYS = ["a b/ü%20#+~.bin", "a/.gitattributes", "a/b=c&d:e", "a" * 200]


def test_an_object_is_created_once(objects: Objects) -> None:
    assert objects.create("a/b", b"one")
    assert not objects.create("a/b", b"two")
    content = objects.read("a/b")
    assert content is not None
    assert content[0] == b"one"


def test_the_first_writer_is_known_to_all(objects: Objects) -> None:
    assert create_or_read(objects, "a/b", b"one") == b"one"
    assert create_or_read(objects, "a/b", b"two") == b"one"


def test_an_object_is_replaced_only_by_who_knows_it(objects: Objects) -> None:
    assert not objects.replace("a/b", b"new", "any")
    assert objects.read("a/b") is None
    objects.create("a/b", b"one")
    first = objects.read("a/b")
    assert first is not None
    assert objects.replace("a/b", b"two", first[1])
    assert not objects.replace("a/b", b"six", first[1])
    second = objects.read("a/b")
    assert second is not None
    assert second[0] == b"two"
    assert second[1] != first[1]


def test_put_replaces_whatever_is_there(objects: Objects) -> None:
    for content in (b"one", b"", b"three"):
        objects.put("a/b", content)
        found = objects.read("a/b")
        assert found is not None
        assert found[0] == content


def test_what_is_absent_is_read_as_none_and_deleted_in_silence(objects: Objects, tmp_path: Path) -> None:
    assert objects.read("a/b") is None
    objects.delete("a/b")
    with pytest.raises(StoreError, match="a/b"):
        objects.download("a/b", tmp_path / "file")
    assert list(objects.list("a/")) == []


def test_a_deleted_object_can_be_created_again(objects: Objects) -> None:
    objects.create("a/b", b"one")
    objects.delete("a/b")
    assert objects.read("a/b") is None
    assert objects.create("a/b", b"two")


@pytest.mark.parametrize("num_bytes", [0, 1, 5 << 20, (11 << 20) + 3])
def test_a_file_of_any_size_comes_back(objects: Objects, tmp_path: Path, num_bytes: int) -> None:
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(os.urandom(num_bytes))
    got.write_bytes(b"what was there before")
    objects.upload(sent, "a/file")
    objects.download("a/file", got)
    assert got.read_bytes() == sent.read_bytes()
    assert [(found.key, found.size) for found in objects.list("a/")] == [("a/file", num_bytes)]


def test_a_list_is_complete_sorted_and_of_the_prefix_alone(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "7")  # the page of the server, 1000 otherwise
    keys = [f"many/{number % 7}/{number}" for number in range(30)]
    for key in keys:
        objects.put(key, b"x")
    objects.put("many-more/0", b"x")
    assert [found.key for found in objects.list("many/")] == sorted(keys)
    assert [found.key for found in objects.list("many/3/")] == sorted(key for key in keys if "/3/" in key)
    assert [found.key for found in objects.list("")] == sorted([*keys, "many-more/0"])


def test_odd_keys_come_back_as_they_are(objects: Objects) -> None:
    for key in ODD_KEYS:
        objects.create(key, key.encode())
    assert [found.key for found in objects.list("")] == sorted(ODD_KEYS)
    for key in ODD_KEYS:
        content = objects.read(key)
        assert content is not None
        assert content[0] == key.encode()


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a\\b", "a\0b", "a/.pkd-x"]
)
def test_a_key_that_leads_elsewhere_is_refused(objects: Objects, key: str, tmp_path: Path) -> None:
    for act in (
        lambda: objects.create(key, b""),
        lambda: objects.put(key, b""),
        lambda: objects.read(key),
        lambda: objects.delete(key),
        lambda: objects.replace(key, b"", "tag"),
        lambda: objects.upload(Path(__file__), key),
        lambda: objects.download(key, tmp_path / "file"),
    ):
        with pytest.raises(StoreError, match="a key in a place needs"):
            act()


def test_a_place_that_keeps_the_contract_is_accepted_and_left_empty(objects: Objects) -> None:
    try_out(objects)
    assert list(objects.list("")) == []


def test_of_sixteen_creators_one_wins(objects: Objects) -> None:
    contents = [bytes([number]) for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda content: objects.create("a/b", content), contents))
    assert sum(won) == 1
    standing = objects.read("a/b")
    assert standing is not None
    assert standing[0] == contents[won.index(True)]
