"""Errors that a user can mend; each message says what was needed, what was got, and what to do."""


class PkdError(Exception):
    """A mistake or a lack outside the program; the command line shows its one sentence and no traceback."""


class ConfigError(PkdError):
    """A setting that is unknown, out of range, or at odds with another."""


class DataError(PkdError):
    """A data file that is absent or not of the stated shape."""


class ModelError(PkdError):
    """A model folder or hub name that cannot be used."""


class StoreError(PkdError):
    """A stage's files that are absent, damaged, or cannot be written."""


class HeldError(StoreError):
    """A lock that another process or thread holds."""


class TrainingError(PkdError):
    """A training that cannot go on, such as one whose loss is not finite."""


class ResourceError(PkdError):
    """Too little memory, too few file handles or too little room on the disk for what is to be done."""
