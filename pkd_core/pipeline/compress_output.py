"""What a compression hands over: copies of the chosen student, in a folder of the user."""

from collections.abc import Callable, Mapping
from pathlib import Path

from pkd_core.pipeline.compress import Compressed
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import read_manifest
from pkd_core.store.output_folder import Copy, write_output

# What transformers loads of a published model.
_MODEL_ENDINGS = (".safetensors", ".txt", "config.json", "tokenizer.json", "tokens.json", "tokens_map.json")


def hand_over(workspace: Path, outcome: Compressed, folder: Path) -> bool:
    """Copy the result of a compression into a folder; return whether anything was to do.

    Raises:
        PkdError: The folder has other files, or the disk cannot be read or written.
    """
    student = outcome.records[outcome.student.key]
    return write_output(folder, _copies(workspace, student, "transformers", _is_of_model))


def _copies(
    workspace: Path, record: StageRecord, folder: str, is_wanted: Callable[[str], bool] = lambda _: True
) -> Mapping[str, Copy]:
    """Return those files of a published stage that are wanted, by their path in the output."""
    source = workspace / record.path
    return {
        f"{folder}/{entry.name}": Copy(source / entry.name, entry)
        for entry in read_manifest(source).files
        if is_wanted(entry.name)
    }


def _is_of_model(name: str) -> bool:
    return name.endswith(_MODEL_ENDINGS)
