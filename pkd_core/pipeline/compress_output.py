"""What a compression hands over: copies of the chosen student, in a folder of the user."""

from collections.abc import Callable
from pathlib import Path

from pkd_core.export.bundle_predict import FLOAT32, INT8
from pkd_core.pipeline.bundles import BUNDLE, TRANSFORMERS
from pkd_core.pipeline.compress import Compressed
from pkd_core.pipeline.stage import Stage
from pkd_core.report.compression.write import CARD, PAGE
from pkd_core.store.catalog import local_copy
from pkd_core.store.manifest import read_manifest
from pkd_core.store.output_folder import Copy, write_output

# What transformers loads of a published model.
_OF_MODEL = (".safetensors", ".txt", "config.json", "tokenizer.json", "tokens.json", "tokens_map.json")
# What a machine without torch needs of an export.
_OF_BUNDLE = (FLOAT32, INT8, "tokenizer.json", "bundle.json", "predict.py")


def hand_over(workspace: Path, outcome: Compressed, folder: Path) -> bool:
    """Copy the result of a compression into a folder; return whether anything was to do.

    It gets `transformers` with the model card, `bundle`, and beside them `compression.html` and the card.

    Raises:
        PkdError: The folder has other files, or the disk cannot be read or written.
    """

    def copies(stage: Stage, place: str, is_wanted: Callable[[str], bool]) -> dict[str, Copy]:
        source = local_copy(workspace / outcome.folder(stage))
        entries = [entry for entry in read_manifest(source).files if is_wanted(entry.name)]
        return {f"{place}{entry.name}": Copy(source / entry.name, entry) for entry in entries}

    final = outcome.final
    return write_output(
        folder,
        copies(outcome.student, f"{TRANSFORMERS}/", lambda name: name.endswith(_OF_MODEL))
        | copies(final.card, f"{TRANSFORMERS}/", lambda name: name == CARD)
        | copies(final.export, f"{BUNDLE}/", lambda name: name in _OF_BUNDLE)
        | copies(final.card, "", lambda name: name in (CARD, PAGE)),
    )
