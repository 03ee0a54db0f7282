"""Opens any trained model to predict texts with it."""

from pkd_core.evaluation.text_answers import TextModel
from pkd_core.pipeline.trained import TrainedModel


def open_text_model(trained: TrainedModel, device: str) -> TextModel:
    """Return a model that is ready to predict.

    Args:
        trained: The model, and how it reads texts.
        device: Where torch computes, such as "auto" or "cuda:1".

    Raises:
        PkdError: The model or the device cannot be used.
    """
    from pkd_core.evaluation.predict_texts import BertTextModel
    from pkd_core.runtime.device import find_device
    from pkd_core.runtime.process_setup import configure_process

    configure_process()
    return BertTextModel(trained.folder, trained.max_length, find_device(device))
