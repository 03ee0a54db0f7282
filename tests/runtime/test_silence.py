"""transformers is silent while anyone wants it so, and as it was afterwards."""

import threading

from transformers.utils import logging

from pkd_core.runtime.process_setup import silence_transformers


def test_several_threads_at_once_leave_it_as_it_was() -> None:
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with silence_transformers():
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    with silence_transformers():
        other.start()
        assert entered.wait(10)
    # The first has left; the second still wants silence.
    assert not logging.is_progress_bar_enabled()
    assert logging.get_verbosity() == logging.ERROR
    leave.set()
    other.join()
    assert logging.is_progress_bar_enabled() == bars
    assert logging.get_verbosity() == verbosity
