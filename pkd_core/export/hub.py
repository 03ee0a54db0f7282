"""Puts a trained classifier on the Hugging Face hub, in one commit."""

from collections.abc import Mapping
from pathlib import Path

from pkd_core.errors import ModelError, reason
from pkd_core.export.bundle import PREDICT, SETTINGS, TOKENIZER
from pkd_core.export.bundle_predict import FLOAT32, INT8
from pkd_core.model.classifier_files import classifier_files

_CARD = "README.md"
_BUNDLE = (PREDICT, SETTINGS, TOKENIZER, FLOAT32, INT8)


def files_to_push(folder: Path) -> dict[str, Path]:
    """Return the files of a model by their path in the repository.

    Args:
        folder: What `pkd compress` wrote (the transformers files then lie at the top, where `from_pretrained` looks for
            them, and the bundle in its folder), a folder of transformers, or a bundle.

    Raises:
        ModelError: It is none of these, or not complete.
    """
    is_output = (folder / "transformers").is_dir()
    model, bundle = (folder / "transformers", folder / "bundle") if is_output else (folder, folder)
    before = "bundle/" if is_output or (model / "config.json").is_file() else ""
    files = {f"{before}{name}": bundle / name for name in _BUNDLE} if (bundle / SETTINGS).is_file() else {}
    if (model / "config.json").is_file():
        files |= {name: model / name for name in classifier_files(model)}
    if not files:
        raise ModelError(
            f"{folder}: expected a model folder or what `pkd compress` wrote, found no config.json and no bundle.json; "
            "choose another"
        )
    return {name: path for name, path in {**files, _CARD: folder / _CARD}.items() if path.is_file()}


def push(files: Mapping[str, Path], repo: str, is_public: bool, message: str) -> str:
    """Create a repository of models if there is none, and put files into it; return its address.

    Args:
        files: Files by their path in the repository.
        repo: Such as "me/small-classifier".
        is_public: Whether everybody may see it. An existing repository keeps what it is, and must be the same.
        message: Of the commit.

    Raises:
        ModelError: The hub does not answer or refuses, or the repository is public and should not be.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HFValidationError

    api = HfApi()
    try:
        if api.repo_exists(repo):
            if not is_public and not api.model_info(repo).private:
                raise ModelError(f"{repo} is public already; say so with --public, or choose another name.")
        else:
            api.create_repo(repo, private=not is_public)
        additions = [CommitOperationAdd(name, str(path)) for name, path in sorted(files.items())]
        api.create_commit(repo, additions, commit_message=message)
    except HFValidationError as error:
        raise ModelError(
            f"{repo} is no name of a repository such as me/my-model ({reason(error)})."
        ) from error
    except ModelError:
        raise
    except Exception as error:  # of the hub's refusals OSError, of the connection types of its HTTP library
        raise ModelError(
            f"{repo} needs an answer of the Hugging Face hub, got {_cause(error)}; connect to the network without "
            "HF_HUB_OFFLINE, and log in with `hf auth login`."
        ) from error
    return f"{api.endpoint}/{repo}"


def _cause(error: Exception) -> str:
    """Return the hub's own sentence where it has answered, else the kind of error; never an address with a token."""
    answered: str | None = getattr(error, "server_message", None)
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"status {status}: {answered or type(error).__name__}" if status else type(error).__name__
