"""Errors that a user can fix; each message states what was needed, what was got, and what to do."""


class PkdError(Exception):
    """An error whose cause is outside the program; the command line shows its sentence without a traceback."""


class ConfigError(PkdError):
    """A setting that is unknown, out of range, or in conflict with another."""


class DataError(PkdError):
    """A data file that is absent or not in the expected format."""


class ModelError(PkdError):
    """A model folder or hub name that cannot be used."""


class StoreError(PkdError):
    """A stage's files are absent or damaged, or cannot be written."""


class DamagedError(StoreError):
    """A published file with other bytes than were published."""


class HeldError(StoreError):
    """A lock that another process or thread holds."""


class TrainingError(PkdError):
    """A training that cannot continue, such as one whose loss is not finite."""


class ResourceError(PkdError):
    """A limit of the process, such as memory or open files, that is too low."""
