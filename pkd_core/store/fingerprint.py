"""Hashes: of what a stage is asked to be made from, and of files' bytes."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import xxhash


def canonical_json(value: Any) -> bytes:
    """Return the one spelling of a JSON value: keys sorted, no spaces, ASCII, no NaN.

    Raises:
        ValueError: If a number is not finite.
        TypeError: If the value holds anything that JSON has no form for.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def fingerprint(stage: str, code_version: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Hash everything that a stage's result depends on; known before anything runs.

    Args:
        stage: The kind of stage, such as "tokens".
        code_version: The stage's explicit code version.
        config: The settings that this stage reads, as JSON values.
        inputs: Fingerprint of each input by its name; for files that users bring, the hash of their bytes.

    Returns:
        16 hexadecimal digits.
    """
    parts = {"stage": stage, "code_version": code_version, "config": dict(config), "inputs": dict(inputs)}
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """Return a file's xxh3_128 (32 hexadecimal digits): a fast checksum against damage, not forgery."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def sha256_file(path: Path) -> str:
    """Return a file's sha256 in 64 hexadecimal digits; for inputs that users bring."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_folder(folder: Path, names: Iterable[str]) -> str:
    """Hash the names and bytes of those of the named files that exist, whatever the order of `names`.

    Args:
        folder: Where the files are.
        names: Candidate file names relative to `folder`; absent ones count as not named.

    Returns:
        64 hexadecimal digits.
    """
    present = [name for name in sorted(set(names)) if (folder / name).is_file()]
    return hashlib.sha256(
        canonical_json([[name, sha256_file(folder / name)] for name in present])
    ).hexdigest()
