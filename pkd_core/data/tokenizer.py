"""Loads a model's tokenizer from its own files, and from nothing else."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pkd_core.data.model_folder import find_file
from pkd_core.errors import ModelError, reason
from pkd_core.store.os_errors import file_errors

TOKENIZER_FILES = (
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
# Those of every family of encoders.
ALL_TOKENIZER_FILES = (
    *TOKENIZER_FILES,
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
    "vocab.json",
)


def load_tokenizer(folder: Path) -> Any:
    """Load a fast tokenizer; what it does depends on the folder's TOKENIZER_FILES alone.

    Args:
        folder: A pretrained model, or the files of its tokenizer.

    Returns:
        A transformers tokenizer with a `backend_tokenizer`.

    Raises:
        ModelError: The folder has no fast tokenizer, or a file of it is a link out of the folder.
    """
    from transformers import BertConfig  # imports torch, which takes seconds

    # For a folder without a tokenizer, transformers 5 silently builds one of five words.
    if not any(find_file(folder, name) for name in ("tokenizer.json", "vocab.txt")):
        raise ModelError(
            f"{folder}: expected a tokenizer.json or a vocab.txt, got neither; add the tokenizer's files"
        )
    return _load(folder, TOKENIZER_FILES, BertConfig())


def load_tokenizer_of(folder: Path, config: Any) -> Any:
    """Load the tokenizer of a model of any family, as its AutoTokenizer does, padding on the right.

    Args:
        folder: The model; what is loaded depends on its ALL_TOKENIZER_FILES and the configuration alone.
        config: The model's configuration, of transformers' own type.

    Raises:
        ModelError: The folder has no fast tokenizer, or a file of it is a link out of the folder.
    """
    if not any(find_file(folder, name) for name in ALL_TOKENIZER_FILES if not name.endswith("_config.json")):
        raise ModelError(f"{folder}: expected a tokenizer.json, got no tokenizer's files; add them")
    tokenizer = _load(folder, ALL_TOKENIZER_FILES, config)
    tokenizer.padding_side = "right"
    return tokenizer


def _load(folder: Path, names: Sequence[str], config: Any) -> Any:
    from transformers import AutoTokenizer

    with _copied_files(folder, names) as copy:
        try:
            # Without a configuration, transformers would read the folder's config.json.
            tokenizer = AutoTokenizer.from_pretrained(
                copy, config=config, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # tokenizers raises plain Exception
            raise ModelError(
                f"{folder}: expected a tokenizer that transformers can load, got {reason(error)}; "
                "add its files again"
            ) from error
    if not tokenizer.is_fast:
        raise ModelError(f"{folder}: expected a fast tokenizer, got a slow one; add its tokenizer.json")
    return tokenizer


def lowers_case(folder: Path) -> bool:
    """Return whether a folder's tokenizer reads capitals as small letters; False where it cannot be read."""
    path = find_file(folder, "tokenizer.json")
    try:
        normalizer = Tokenizer.from_file(str(path)).normalizer
        return normalizer is not None and normalizer.normalize_str("A") == "a"
    except Exception:  # tokenizers raises nothing more specific
        return False


@contextmanager
def _copied_files(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield a folder with copies of the tokenizer's files: transformers reads others, if it finds them beside these."""
    with file_errors("copy the tokenizer to", Path(tempfile.gettempdir())):
        copies = tempfile.TemporaryDirectory(prefix="pkd-tokenizer-")
    with copies as name:
        with file_errors("copy", folder):
            for path in filter(None, (find_file(folder, one) for one in names)):
                shutil.copyfile(path, Path(name, path.name))
        yield Path(name)
