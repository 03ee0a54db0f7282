"""Memory and file handles that really run out are told in one sentence, whoever told of them first."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from pkd_core.errors import ModelError, PkdError, ResourceError
from pkd_core.store.os_errors import resource_errors


@contextmanager
def no_more_handles() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_array_beyond_all_memory_is_told_with_what_to_do() -> None:
    with (
        pytest.raises(ResourceError, match=r"^RTE/teacher needs more memory .*accumulation_steps"),
        resource_errors("RTE/teacher"),
    ):
        torch.empty(1 << 50)


def test_a_sentence_that_was_made_of_a_lack_of_memory_becomes_the_one_about_memory() -> None:
    with pytest.raises(ResourceError, match="memory"), resource_errors("RTE/teacher"):
        try:
            torch.empty(1 << 50)
        except RuntimeError as error:
            raise ModelError("expected a whole BERT; fetch it again") from error


def test_handles_that_run_out_are_told_with_what_to_do() -> None:
    with (
        pytest.raises(ResourceError, match=r"more file handles .*ulimit -n"),
        resource_errors("RTE/tokens"),
        no_more_handles(),
    ):
        os.open("/dev/null", os.O_RDONLY)


@pytest.mark.parametrize("error", [ValueError("other"), PkdError("said already"), OSError(2, "No such file")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, resource_errors("RTE/tokens"):
        raise error
    assert caught.value is error
