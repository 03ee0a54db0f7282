"""A run that Prefect's server or the system fails ends in one sentence, and any other error is raised."""

from pathlib import Path

import httpx
import pytest

from flows import crashes, stopping
from flows.crashes import ending_at_crashes


@pytest.fixture(autouse=True)
def end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the end of the process raise SystemExit."""

    def end_process(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(crashes, "end_process", end_process)
    monkeypatch.setattr(stopping, "_process", stopping._Process())
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))


def ended(error: Exception) -> object:
    with pytest.raises(SystemExit) as end, ending_at_crashes():
        raise error
    return end.value.code


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            httpx.ConnectError("refused"),
            "pkd: Prefect's server failed the run (ConnectError): check that the disk of ",
        ),
        (MemoryError(), "pkd: this run needs more memory than its process gets: "),
        (OSError(24, "Too many open files"), "pkd: this run needs more file handles than its process gets: "),
    ],
)
def test_a_crash_ends_the_process_in_one_sentence(
    error: Exception, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(sentence)
    assert printed.endswith(".\n")
    assert printed.count("\n") == 1


def test_an_error_in_the_code_is_raised() -> None:
    with pytest.raises(ZeroDivisionError), ending_at_crashes():
        raise ZeroDivisionError


def test_a_server_that_the_signal_ended_too_is_no_crash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stopping, "_process", stopping._Process(received=15))
    assert ended(httpx.ConnectError("refused")) == 143
    assert capsys.readouterr().err.startswith("pkd: stopped; ")
