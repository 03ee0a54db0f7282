"""Where a model is: in a folder, or in the hub's cache, into which it is downloaded."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from pkd_core.errors import ModelError, quoted, shortened


def local_folder(name: str) -> Path | None:
    """Return a model's folder, if its name is that of one."""
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # not a path: too long, of an unknown user, or with a NUL
        return None


def short_name(name: str, folder: Path) -> str:
    """Return a model's name on the hub, or the last part of its folder's path, which is the same on every machine.

    >>> short_name("nobody/bert", Path("/cache/models--nobody--bert/snapshots/4f3a")), short_name("./a", Path("/x/a"))
    ('nobody/bert', 'a')

    Args:
        name: As the user gave it.
        folder: Where it was found; the hub's cache has the name in its path.
    """
    return name if f"models--{name.replace('/', '--')}" in folder.parts else folder.name


def find_folder(name: str, files: Sequence[str], option: str) -> Path:
    """Return a model's folder, downloading it if the hub's cache does not have it.

    Args:
        name: The folder, or the name on the hub.
        files: Patterns of the files to download.
        option: The option that gave it, for messages.

    Raises:
        ModelError: There is no such folder, or the hub does not answer or has no such name.
    """
    if folder := local_folder(name):
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(
            f"there is no model folder {shortened(name, 300)}; give an existing folder or a name on the Hugging Face "
            "hub."
        )
    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except HFValidationError as error:
        raise ModelError(
            f"{quoted(name)} is neither a folder nor a valid name on the Hugging Face hub."
        ) from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"the model {name} is not on this machine and the Hugging Face hub does not answer; "
            f"connect to the network, or name a local folder with {option}."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"the model {name} could not be fetched from the Hugging Face hub ({type(error).__name__}); "
            f"check its name, or name a local folder with {option}."
        ) from error
