"""Exports one model at a time, without the libraries' remarks on what is missing here and does no harm."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# They report missing torchvision and repeated names of axes.
_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")
# Tracing is not safe in two threads, and `warnings` is shared by all.
_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def quietly_alone() -> Iterator[None]:
    """Let one thread at a time run the body, which shows only errors of the exporter and of onnxruntime."""
    with _ONE_AT_A_TIME, warnings.catch_warnings(), _without_root_warnings(threading.get_ident()):
        warnings.simplefilter("ignore")
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _without_root_warnings(thread: int) -> Iterator[None]:
    """Silence what a thread logs without a logger, as quantising does; without a handler, this would add one."""

    def is_shown(record: logging.LogRecord) -> bool:
        return record.thread != thread or record.levelno >= logging.ERROR

    root, handler = logging.getLogger(), logging.NullHandler()
    root.addFilter(is_shown)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeFilter(is_shown)
        root.removeHandler(handler)
