"""Memory and file handles that run out are reported in one sentence, whichever library failed first."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from pkd_core.errors import ModelError, PkdError, ResourceError
from pkd_core.store.os_errors import Shortage, find_shortage, resource_errors


@contextmanager
def no_more_handles() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_tensor_beyond_all_memory_is_reported_with_what_to_do() -> None:
    with pytest.raises(ResourceError) as raised, resource_errors("RTE/teacher"):
        torch.empty(1 << 50)
    assert str(raised.value) == (
        "RTE/teacher needs more memory than this process gets: end other programs, raise the limit (ulimit -v) or"
        " train in smaller parts (accumulation_steps) and run again (what is finished is kept)."
    )


def test_an_array_beyond_all_memory_is_reported() -> None:
    with pytest.raises(ResourceError, match="more memory"), resource_errors("RTE/teacher"):
        np.empty(1 << 50)


def test_an_error_that_lack_of_memory_caused_becomes_the_one_about_memory() -> None:
    with pytest.raises(ResourceError, match="memory"), resource_errors("RTE/teacher"):
        try:
            torch.empty(1 << 50)
        except RuntimeError as error:
            raise ModelError("expected a complete BERT; fetch it again") from error


def test_too_few_file_handles_are_reported_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as raised, resource_errors("RTE/tokens"), no_more_handles():
        os.open("/dev/null", os.O_RDONLY)
    assert str(raised.value) == (
        "RTE/tokens needs more file handles than this process gets: raise the limit of open files (ulimit -n)"
        " and run again (what is finished is kept)."
    )
    with pytest.raises(ResourceError) as in_rust, resource_errors("RTE/tokens"), no_more_handles():
        save_file({"x": np.zeros(1)}, tmp_path / "file")  # a library in Rust
    assert str(in_rust.value) == str(raised.value)


# As the libraries raised them under a low limit.
SHORTAGES = [
    (MemoryError(), Shortage.MEMORY),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), Shortage.MEMORY),
    (OSError("Memory mapping file failed: Cannot allocate memory"), Shortage.MEMORY),
    (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        Shortage.MEMORY,
    ),
    (RuntimeError("std::bad_alloc"), Shortage.MEMORY),
    (RuntimeError("could not create a primitive"), Shortage.MEMORY),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), Shortage.MEMORY),
    (ImportError("libx.so: failed to map segment from shared object"), Shortage.MEMORY),
    (RuntimeError("can't start new thread"), Shortage.MEMORY),
    (Exception("Resource failed (os error 12)"), Shortage.MEMORY),
    (OSError(errno.EMFILE, "x"), Shortage.HANDLES),
    (OSError(errno.ENFILE, "x"), Shortage.HANDLES),
    (Exception("No answer (os error 24)"), Shortage.HANDLES),
    (OSError("No answer (os error 24)"), Shortage.HANDLES),
    (OSError("libx.so: cannot open shared object file: Too many open files"), Shortage.HANDLES),
    (Exception("No answer (os error 2)"), None),
    (OSError(errno.ENOENT, "x"), None),
    (RuntimeError("shapes do not match"), None),
    (ModelError("the folder 'out of memory' has no config.json"), None),
]


@pytest.mark.parametrize(("error", "expected"), SHORTAGES)
def test_a_shortage_is_found_in_each_library_s_error(error: Exception, expected: Shortage | None) -> None:
    assert find_shortage(error) is expected
    try:
        raise ValueError("consequence") from error
    except ValueError as consequence:
        assert find_shortage(consequence) is expected


def test_a_shortage_is_found_where_an_error_arose_while_another_was_handled() -> None:
    try:
        try:
            raise MemoryError
        except MemoryError:
            raise KeyError("in the handler")  # noqa: B904
    except KeyError as error:
        assert find_shortage(error) is Shortage.MEMORY
    try:
        try:
            raise MemoryError
        except MemoryError:
            raise PkdError("raised on purpose, without a cause")  # noqa: B904
    except PkdError as error:
        assert find_shortage(error) is None


def test_a_resource_error_keeps_its_sentence_whatever_caused_it() -> None:
    with pytest.raises(ResourceError, match=r"^more specific$"), resource_errors("RTE/tokens"):
        raise ResourceError("more specific") from MemoryError()


def test_errors_that_caused_each_other_end_the_search() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert find_shortage(first) is None


@pytest.mark.parametrize(
    "error",
    [ValueError("other"), PkdError("already a sentence"), OSError(2, "No such file"), ResourceError("ours")],
)
def test_other_errors_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, resource_errors("RTE/tokens"):
        raise error
    assert raised.value is error
