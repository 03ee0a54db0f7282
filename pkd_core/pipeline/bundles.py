"""Paths that a person gives for a model: a folder of transformers, a bundle, or what `pkd compress` wrote."""

from dataclasses import dataclass
from pathlib import Path

from pkd_core.data.model_folder import read_json_object
from pkd_core.errors import ModelError, quoted

_CONFIG, _SETTINGS = "config.json", "bundle.json"
BUNDLE, TRANSFORMERS = "bundle", "transformers"
_ONNX = ".onnx"


@dataclass(frozen=True)
class TrainedModel:
    """A model folder, and how it was trained to read texts.

    Attributes:
        folder: A checkpoint with its tokenizer, or a bundle.
        columns: Names of its task's texts; None where no task is known.
        max_length: Tokens kept of an example; None where it is not known.
        onnx_file: Which file of a bundle is used, None for the smallest; of a checkpoint always None.
    """

    folder: Path
    columns: tuple[str, ...] | None
    max_length: int | None
    onnx_file: str | None = None

    @property
    def is_bundle(self) -> bool:
        """Whether onnxruntime computes it."""
        return (self.folder / _SETTINGS).is_file()


def model_path(name: str) -> Path | None:
    """Return the model of a path: a folder, or one ONNX file of a bundle; None if there is no model.

    Of a folder that `pkd compress` wrote it is the bundle.
    """
    path = Path(name)
    if path.suffix == _ONNX and path.is_file() and path.with_name(_SETTINGS).is_file():
        return path
    folders = ((path, _SETTINGS), (path, _CONFIG), (path / BUNDLE, _SETTINGS), (path / TRANSFORMERS, _CONFIG))
    return next((folder for folder, file in folders if (folder / file).is_file()), None)


def describe_bundle(path: Path) -> TrainedModel | None:
    """Return how a bundle, or one file of it, reads texts; None for anything else.

    A folder of transformers that `pkd compress` wrote reads them as the bundle beside it.

    Raises:
        ModelError: The bundle's settings cannot be read.
    """
    folder, file = (path.parent, path.name) if path.suffix == _ONNX else (path, None)
    settings = folder / _SETTINGS
    if folder.name == TRANSFORMERS and not settings.is_file():
        settings = folder.parent / BUNDLE / _SETTINGS
    if not settings.is_file():
        return None
    values = read_json_object(settings)
    columns, max_length = values.get("text_columns"), values.get("max_length")
    if (
        not isinstance(columns, list)
        or not all(isinstance(name, str) for name in columns)
        or not isinstance(max_length, int)
    ):
        raise ModelError(
            f"{settings}: expected text_columns and max_length, got {quoted(values)}; copy the bundle again"
        )
    return TrainedModel(folder, tuple(columns), max_length, file)
