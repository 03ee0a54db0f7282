"""Opens any trained model to predict texts with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from pkd_core.errors import ConfigError, ModelError, reason
from pkd_core.evaluation.text_answers import Array, Kind, TextModel
from pkd_core.export.bundle_predict import Model
from pkd_core.model.classifier_files import family_of
from pkd_core.pipeline.bundles import TrainedModel


class BundleTextModel:
    """A bundle, which onnxruntime computes: nothing of it imports torch.

    Args:
        folder: The bundle.
        file: Its ONNX file; None for the smallest.

    Raises:
        ConfigError: onnxruntime is not installed.
        ModelError: A file is missing or damaged.
    """

    def __init__(self, folder: Path, file: str | None) -> None:
        try:
            self._model = Model(folder, file)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{folder} is computed by onnxruntime, which is not installed here; run pip install 'pkd[export]'."
            ) from error
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{folder}: expected a complete bundle, got {reason(error)}") from error
        self.labels = tuple(self._model.labels)
        self.kind = cast(Kind, self._model.kind)

    def logits(self, texts: Sequence[tuple[str, ...]]) -> Array:
        """Return the outputs for one or two texts of each example, (R, C), float32."""
        return self._model.logits(texts)


def open_text_model(trained: TrainedModel, device: str) -> TextModel:
    """Return a model that is ready to predict.

    Args:
        trained: The model, and how it reads texts.
        device: Where torch computes, such as "auto" or "cuda:1"; a bundle is always computed on the CPU.

    Raises:
        PkdError: The model or the device cannot be used.
    """
    if trained.is_bundle:
        return BundleTextModel(trained.folder, trained.onnx_file)
    from pkd_core.evaluation.predict_texts import AnyTextModel, BertTextModel
    from pkd_core.runtime.device import find_device
    from pkd_core.runtime.process_setup import configure_process

    configure_process()
    if family_of(trained.folder) not in (None, "bert"):
        return AnyTextModel(trained.folder, find_device(device))
    return BertTextModel(trained.folder, trained.max_length, find_device(device))
