"""What the model cards of MLflow's models and of compressed classifiers share."""

LICENSE = (
    "None is stated here: it depends on those of the base model and of the training data. Add one before you publish "
    "the model."
)


def hub_name(model: str) -> str | None:
    """Return a model's name if it is one of the hub's, which alone may stand in a card's data; a folder's is none.

    >>> hub_name("google-bert/bert-base-uncased"), hub_name("my-bert")
    ('google-bert/bert-base-uncased', None)
    """
    return model if "/" in model else None
