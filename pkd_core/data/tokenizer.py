"""Loads a model's tokenizer from its own files, and from nothing else."""

import shutil
import tempfile
from collections.abc import Iterator
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


def load_tokenizer(folder: Path) -> Any:
    """Load a fast tokenizer; what it does depends on the folder's TOKENIZER_FILES alone.

    Args:
        folder: A pretrained model, or the files of its tokenizer.

    Returns:
        A transformers tokenizer with a `backend_tokenizer`.

    Raises:
        ModelError: The folder has no fast tokenizer, or a file of it is a link out of the folder.
    """
    from transformers import AutoTokenizer, BertConfig  # imports torch, which takes seconds

    # For a folder without a tokenizer, transformers 5 silently builds one of five words.
    if not any(find_file(folder, name) for name in ("tokenizer.json", "vocab.txt")):
        raise ModelError(
            f"{folder}: expected a tokenizer.json or a vocab.txt, got neither; add the tokenizer's files"
        )
    with _copied_files(folder) as copy:
        try:
            # Without a configuration, transformers would read the folder's config.json.
            tokenizer = AutoTokenizer.from_pretrained(
                copy, config=BertConfig(), local_files_only=True, trust_remote_code=False
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
def _copied_files(folder: Path) -> Iterator[Path]:
    """Yield a folder with copies of the tokenizer's files: transformers reads others, if it finds them beside these."""
    with file_errors("copy the tokenizer to", Path(tempfile.gettempdir())):
        copies = tempfile.TemporaryDirectory(prefix="pkd-tokenizer-")
    with copies as name:
        with file_errors("copy", folder):
            for path in filter(None, (find_file(folder, name) for name in TOKENIZER_FILES)):
                shutil.copyfile(path, Path(name, path.name))
        yield Path(name)
