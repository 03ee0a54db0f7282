"""Hashes of what a stage depends on, and of files."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import xxhash


def canonical_json(value: Any) -> bytes:
    """Serialize a JSON value in its only canonical form: keys sorted, no spaces, ASCII, no NaN.

    >>> canonical_json({"b": [1, 0.5], "a": True})
    b'{"a":true,"b":[1,0.5]}'

    Raises:
        ValueError: If a number is not finite.
        TypeError: If JSON cannot represent the value.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def fingerprint(stage: str, code_version: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Hash everything that a stage's result depends on, before the stage runs.

    The order of keys does not matter; every value does:

    >>> fingerprint("tokens", 1, {"max_length": 128, "lowercase": True}, {"train.tsv": "9f86d081884c7d65"})
    'db29e921441e3f43'
    >>> fingerprint("tokens", 1, {"lowercase": True, "max_length": 128}, {"train.tsv": "9f86d081884c7d65"})
    'db29e921441e3f43'
    >>> fingerprint("tokens", 2, {"max_length": 128, "lowercase": True}, {"train.tsv": "9f86d081884c7d65"})
    'b1a85cbdf1f62c7b'

    Args:
        stage: The kind of stage, such as "tokens".
        code_version: The stage's code version.
        config: The settings that this stage reads, as JSON values.
        inputs: Fingerprint of each input by its name; for files of the user, the hash of their bytes.

    Returns:
        16 hexadecimal digits.

    Raises:
        ValueError: If a number is not finite.
        TypeError: If JSON cannot represent a value.
    """
    parts = {"stage": stage, "code_version": code_version, "config": dict(config), "inputs": dict(inputs)}
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """Return a file's xxh3_128 in 32 hexadecimal digits: a fast checksum against damage, not against forgery."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def sha256_file(path: Path) -> str:
    """Return a file's sha256 in 64 hexadecimal digits; for files of the user."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_folder(folder: Path, names: Iterable[str]) -> str:
    """Hash the names and bytes of those of the named files that exist; the order of `names` does not matter.

    Args:
        folder: The files' folder.
        names: File names relative to `folder`; absent files are skipped.

    Returns:
        64 hexadecimal digits.
    """
    present = [name for name in sorted(set(names)) if (folder / name).is_file()]
    return hashlib.sha256(
        canonical_json([[name, sha256_file(folder / name)] for name in present])
    ).hexdigest()
