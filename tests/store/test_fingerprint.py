"""Hashes agree with independent tools, and change exactly when what they identify changes."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pkd_core.store.fingerprint import canonical_json, fingerprint, hash_file, sha256_file, sha256_folder

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON)
def test_canonical_json_loses_nothing(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@given(config=st.dictionaries(st.text(), JSON, max_size=4), order=st.randoms())
def test_order_of_keys_does_not_change_a_fingerprint(config: dict[str, object], order: object) -> None:
    keys = list(config)
    order.shuffle(keys)  # type: ignore[attr-defined]
    shuffled = {key: config[key] for key in keys}
    assert fingerprint("tokens", 1, config, {}) == fingerprint("tokens", 1, shuffled, {})


def test_each_part_of_a_stage_changes_its_fingerprint() -> None:
    base = fingerprint("tokens", 1, {"max_length": 128}, {"train.tsv": "aa"})
    others = {
        fingerprint("teacher", 1, {"max_length": 128}, {"train.tsv": "aa"}),
        fingerprint("tokens", 2, {"max_length": 128}, {"train.tsv": "aa"}),
        fingerprint("tokens", 1, {"max_length": 64}, {"train.tsv": "aa"}),
        fingerprint("tokens", 1, {"max_length": 128}, {"train.tsv": "ab"}),
        fingerprint("tokens", 1, {"max_length": 128}, {"dev.tsv": "aa"}),
        fingerprint("tokens", 1, {"max_length": 128, "train.tsv": "aa"}, {}),
    }
    assert len(others - {base}) == 6


def test_a_fingerprint_is_the_same_in_every_process_and_version() -> None:
    call = "fingerprint('a', 1, {'b': [0.1, 'é']}, {'c': 'd'})"
    script = f"from pkd_core.store.fingerprint import fingerprint; print({call})"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    mine = fingerprint("a", 1, {"b": [0.1, "é"]}, {"c": "d"})
    canonical = b'{"code_version":1,"config":{"b":[0.1,"\\u00e9"]},"inputs":{"c":"d"},"stage":"a"}'
    assert mine == other.stdout.strip() == hashlib.sha256(canonical).hexdigest()[:16]


def test_what_json_cannot_represent_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        fingerprint("tokens", 1, {"learning_rate": float("nan")}, {})
    with pytest.raises(TypeError):
        fingerprint("tokens", 1, {"path": Path("x")}, {})


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 3_000_001])
def test_file_hashes_agree_with_hashing_all_bytes_at_once(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "file"
    path.write_bytes(data[:size])
    assert hash_file(path) == xxhash.xxh3_128_hexdigest(data[:size])
    assert sha256_file(path) == hashlib.sha256(data[:size]).hexdigest()


def test_a_folder_hash_depends_on_bytes_and_names_but_not_on_order_or_absent_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    both = sha256_folder(tmp_path, ["a", "b"])
    pairs = [[name, hashlib.sha256(data).hexdigest()] for name, data in (("a", b"1"), ("b", b"2"))]
    assert both == hashlib.sha256(json.dumps(pairs, separators=(",", ":")).encode()).hexdigest()
    assert both == sha256_folder(tmp_path, ["b", "absent", "a", "a"])
    assert both != sha256_folder(tmp_path, ["a"])
    (tmp_path / "a").rename(tmp_path / "c")
    assert both != sha256_folder(tmp_path, ["a", "b", "c"])
    (tmp_path / "c").rename(tmp_path / "aa")
    assert both != sha256_folder(tmp_path, ["aa", "b"])
    (tmp_path / "aa").rename(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"3")
    assert both != sha256_folder(tmp_path, ["a", "b"])
