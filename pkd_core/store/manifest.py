"""The manifest of a published folder: its files, and what they were built from."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pkd_core.errors import StoreError, quoted
from pkd_core.store.fingerprint import canonical_json

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
_CHECKSUM = "checksum"

T = TypeVar("T")


@dataclass(frozen=True)
class FileEntry:
    """One file of a published folder.

    Attributes:
        name: Path inside the folder, with forward slashes.
        size: Bytes.
        xxh3: Its xxh3_128 in hexadecimal.

    Raises:
        StoreError: If the name leads out of the folder, or is not in its simplest form.
    """

    name: str
    size: int
    xxh3: str

    def __post_init__(self) -> None:
        path = PurePosixPath(self.name)
        plain = path.parts and path.as_posix() == self.name and not set(self.name) & {"\\", "\0"}
        if not plain or path.is_absolute() or ".." in path.parts or self.name == MANIFEST_NAME:
            raise StoreError(f"a file's name must be a plain path inside its folder, got {self.name!r}.")


@dataclass(frozen=True)
class Manifest:
    """The files of a published folder, and what they were built from.

    Attributes:
        task: Task name.
        stage: Stage name within the task.
        fingerprint: Hash of everything that the stage depends on; part of its address.
        code_version: The stage's code version when it was built.
        config: The settings that the stage read.
        inputs: Digest of each input used, by its name; the stage is stale once an input has another digest.
        files: Every file but the manifest itself, sorted by name.
        facts: JSON values to show.
        created: UTC time in ISO 8601.
        attempt: In a place that several machines share, which attempt's files these are; empty, and left out of the
            JSON, on one machine.
        format_version: Version of the manifest's format.
    """

    task: str
    stage: str
    fingerprint: str
    code_version: int
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    files: tuple[FileEntry, ...]
    facts: Mapping[str, Any]
    created: str
    attempt: str = ""
    format_version: int = FORMAT_VERSION

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that depend only on the published files' names and bytes."""
        entries = sorted([entry.name, entry.size, entry.xxh3] for entry in self.files)
        return hashlib.sha256(canonical_json(entries)).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON object, with a checksum of everything else in it."""
        value = asdict(self) | {"files": [asdict(entry) for entry in self.files]}
        if not self.attempt:
            del value["attempt"]
        return value | {_CHECKSUM: _checksum(value)}

    def to_bytes(self) -> bytes:
        """Return the text of the manifest's file."""
        text = json.dumps(self.to_json(), indent=2, sort_keys=True, allow_nan=False)
        return f"{text}\n".encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Manifest":
        """Return the manifest of a file with this content.

        Raises:
            StoreError: As `from_json`, or it is not JSON.
        """
        try:
            value = json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{MANIFEST_NAME} is not JSON.") from error
        return cls.from_json(value)

    @classmethod
    def from_json(cls, value: Any) -> "Manifest":
        """Check a JSON object, and return its manifest.

        Raises:
            StoreError: If a key is absent or of another type, the format is not this version's, a file name leads out
                of the folder, or the checksum differs. Manifests of earlier versions have no checksum.
        """
        if not isinstance(value, dict):
            raise StoreError("a manifest must be a JSON object.")
        version = _field(value, "format_version", int)
        if version != FORMAT_VERSION:
            raise StoreError(
                f"this pkd reads manifests of format {FORMAT_VERSION}, got {version}: update pkd."
            )
        inputs = _field(value, "inputs", dict)
        if not all(isinstance(digest, str) for digest in inputs.values()):
            raise StoreError("a manifest's inputs must be digests in text.")
        files = tuple(_file_entry(entry) for entry in _field(value, "files", list))
        if len({entry.name for entry in files}) < len(files):
            raise StoreError("a manifest must name each file once.")
        manifest = cls(
            task=_field(value, "task", str),
            stage=_field(value, "stage", str),
            fingerprint=_field(value, "fingerprint", str),
            code_version=_field(value, "code_version", int),
            config=_field(value, "config", dict),
            inputs=inputs,
            files=files,
            facts=_field(value, "facts", dict),
            created=_field(value, "created", str),
            attempt=_attempt(value),
        )
        if value.get(_CHECKSUM, _checksum(value)) != _checksum(value):
            raise StoreError(f"{MANIFEST_NAME} has other content than was written.")
        return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read a published folder's manifest.

    Raises:
        StoreError: If it is absent, unreadable, or not a valid manifest.
    """
    path = folder / MANIFEST_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise StoreError(f"{MANIFEST_NAME} is absent.") from error
    except OSError as error:
        raise StoreError(f"{MANIFEST_NAME} cannot be read ({error.strerror}).") from error
    return Manifest.from_bytes(content)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder that is not published yet.

    Not atomically: a temporary file that a killed writer leaves would be published with the folder.
    """
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())


def _checksum(value: Mapping[str, Any]) -> str:
    content = {key: field for key, field in value.items() if key != _CHECKSUM}
    return hashlib.sha256(canonical_json(content)).hexdigest()[:32]


def _attempt(value: dict[str, Any]) -> str:
    attempt = _field({"attempt": ""} | value, "attempt", str)
    # It becomes part of keys.
    if not re.fullmatch("[0-9a-f]*", attempt):
        raise StoreError(f"a manifest's attempt must be hexadecimal, got {quoted(attempt)}.")
    return attempt


def _file_entry(value: Any) -> FileEntry:
    if not isinstance(value, dict):
        raise StoreError("a manifest's file entry must be a JSON object.")
    return FileEntry(_field(value, "name", str), _field(value, "size", int), _field(value, "xxh3", str))


def _field(value: dict[str, Any], key: str, kind: type[T]) -> T:
    field = value.get(key)
    if not isinstance(field, kind) or isinstance(field, bool):
        raise StoreError(f"a manifest's {key!r} must be of type {kind.__name__}, got {type(field).__name__}.")
    return field
