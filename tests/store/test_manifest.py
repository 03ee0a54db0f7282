"""A manifest reads back as it was written, and anything else in its place is refused with a sentence."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkd_core.errors import StoreError
from pkd_core.store.manifest import FileEntry, Manifest, read_manifest, write_manifest

MANIFEST = Manifest(
    task="RTE",
    stage="tokens",
    fingerprint="0123456789abcdef",
    code_version=1,
    config={"max_length": 128},
    inputs={"train.tsv": "aa"},
    files=(FileEntry("dev.parquet", 3, "0" * 32), FileEntry("train/00.parquet", 5, "1" * 32)),
    facts={"rows": {"train": 2490}},
    created="2026-01-01T00:00:00+00:00",
)


def test_a_written_manifest_reads_back_equal(tmp_path: Path) -> None:
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST
    text = (tmp_path / "manifest.json").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n", "readable and comparable"


def test_only_the_manifest_of_a_shared_place_names_an_attempt(tmp_path: Path) -> None:
    assert "attempt" not in MANIFEST.to_json()
    shared = replace(MANIFEST, attempt="0a1b")
    write_manifest(tmp_path, shared)
    assert read_manifest(tmp_path) == shared
    assert shared.to_json()["attempt"] == "0a1b"
    assert shared.digest == MANIFEST.digest
    for other in ("../0a", 7, None):
        with pytest.raises(StoreError, match="attempt"):
            Manifest.from_json(MANIFEST.to_json() | {"attempt": other})


def test_the_digest_depends_only_on_the_published_files() -> None:
    same = replace(
        MANIFEST, created="later", facts={}, config={}, code_version=9, files=tuple(reversed(MANIFEST.files))
    )
    entries = b'[["dev.parquet",3,"%s"],["train/00.parquet",5,"%s"]]' % (b"0" * 32, b"1" * 32)
    assert same.digest == MANIFEST.digest == hashlib.sha256(entries).hexdigest()[:32]
    first = MANIFEST.files[0]
    for other in (
        replace(first, name="d.parquet"),
        replace(first, size=4),
        replace(first, xxh3="2" * 32),
    ):
        assert replace(MANIFEST, files=(other, MANIFEST.files[1])).digest != MANIFEST.digest


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/passwd", "", ".", "a//b", "./a", "a/", "a\\b", "a\0b", "manifest.json"],
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    value = MANIFEST.to_json()
    value["files"][0]["name"] = name
    (tmp_path / "manifest.json").write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(StoreError) as raised:
        read_manifest(tmp_path)
    assert str(raised.value) == f"a file's name must be a plain path inside its folder, got {name!r}."


@pytest.mark.parametrize("version", [0, 2])
def test_another_format_is_refused_with_advice_to_update(version: int) -> None:
    with pytest.raises(StoreError, match=f"format 1, got {version}: update pkd"):
        Manifest.from_json(MANIFEST.to_json() | {"format_version": version})


def test_a_changed_value_is_noticed_by_the_checksum() -> None:
    for key, value in {"config": {}, "inputs": {"tokens": "ff"}, "facts": {"rows": 3}, "created": ""}.items():
        with pytest.raises(StoreError, match=r"^manifest\.json has other content than was written\.$"):
            Manifest.from_json(MANIFEST.to_json() | {key: value})


def test_a_manifest_without_a_checksum_is_of_an_earlier_version() -> None:
    value = MANIFEST.to_json()
    del value["checksum"]
    assert Manifest.from_json(value) == MANIFEST


@pytest.mark.parametrize("key", sorted(MANIFEST.to_json().keys() - {"checksum"}))
@pytest.mark.parametrize("wrong", [None, True, 1.5, "absent"])
def test_an_absent_key_or_a_value_of_another_type_is_named(key: str, wrong: Any) -> None:
    value = MANIFEST.to_json() | {key: wrong}
    if wrong == "absent":
        del value[key]
    with pytest.raises(StoreError, match=f"'{key}' must be of type"):
        Manifest.from_json(value)


@pytest.mark.parametrize("key", ["name", "size", "xxh3"])
def test_a_file_entry_without_a_key_is_refused(key: str) -> None:
    value = MANIFEST.to_json()
    del value["files"][1][key]
    with pytest.raises(StoreError, match=f"'{key}' must be of type"):
        Manifest.from_json(value)


def test_an_input_without_a_digest_is_refused() -> None:
    with pytest.raises(StoreError, match="digests in text"):
        Manifest.from_json(MANIFEST.to_json() | {"inputs": {"train.tsv": None}})


def test_a_file_listed_twice_is_refused() -> None:
    value = MANIFEST.to_json()
    value["files"] = [value["files"][0], value["files"][0]]
    with pytest.raises(StoreError, match="each file once"):
        Manifest.from_json(value)


@given(content=st.binary(max_size=60))
def test_arbitrary_bytes_are_refused_with_a_store_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("arbitrary")
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(StoreError):
        read_manifest(folder)


@pytest.mark.parametrize("text", ["[]", "7", "null", "{}", "[" * 100_000, '{"files": [1]}'])
def test_json_that_is_not_a_manifest_is_refused_with_a_store_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError):
        read_manifest(tmp_path)


@given(cut=st.integers(0, len(json.dumps(MANIFEST.to_json())) - 1))
def test_a_manifest_truncated_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("cut")
    (folder / "manifest.json").write_text(json.dumps(MANIFEST.to_json())[:cut], encoding="utf-8")
    with pytest.raises(StoreError):
        read_manifest(folder)


def test_an_absent_manifest_or_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^manifest\.json is absent\.$"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(StoreError, match=r"^manifest\.json cannot be read \(Is a directory\)\.$"):
        read_manifest(tmp_path)
