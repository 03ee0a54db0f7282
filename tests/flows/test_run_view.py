"""What is seen of a run: bars that fit the terminal, log lines above them, and lines where there is no terminal."""

import io
import logging
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from rich.console import Console

from flows.cli.bars import Bars
from flows.cli.log_lines import SENDERS, Amount, LogLines, printing_log
from flows.cli.run_view import viewing_run
from pkd_core.runtime.progress import Progress

KEY = "RTE/evaluation-pkd-skip-12l-s42"


def drawn(width: int, *keys: str) -> list[str]:
    """Return the lines of a run of 24 stages, of which 7 are done and some run."""
    bars = Bars()
    bars.num_stages, bars.done = 24, {str(number) for number in range(7)}
    for key in keys:
        progress = bars.running[key] = Progress()
        progress.update(0, 2490, "steps", 0.0)
        progress.update(640, 2490, "steps", 20.0)
        progress.add_metrics({"train/total": 0.3125})
        progress.add_metrics({"dev/accuracy": 0.904})
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=True, color_system=None).print(bars)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_stage_has_one_line_that_fits_the_terminal(width: int) -> None:
    first, second, last = drawn(width, KEY, "RTE/teacher")
    assert max(map(len, (first, second, last))) < width
    assert re.match(r"RTE/.*s42 .*26 % ", first)
    assert "0:58 left" in first and "dev 90.4" in first
    assert second.startswith("RTE/teacher " if width >= 60 else "RTE/")
    assert "7 of 24 stages" in last
    assert ("loss 0.312" in first) == (width >= 60)
    assert ("32/s" in first and "━" in first) == (width >= 80)
    assert (KEY in first) == (width >= 120)


def test_a_stage_that_waits_for_the_device_has_no_line() -> None:
    bars = Bars()
    bars.running["RTE/teacher"] = Progress()
    file = io.StringIO()
    Console(file=file, width=80).print(bars)
    assert "RTE/teacher" not in file.getvalue()


def shown_log(amount: Amount, has_bars: bool = False) -> list[str]:
    file = io.StringIO()
    lines = LogLines(Console(file=file, width=200), amount, has_bars)
    with printing_log(lines, amount):
        logging.getLogger("pkd_core").setLevel(logging.INFO)
        for name, level, text in (
            ("pkd_core.runtime.observer", logging.INFO, "progress"),
            ("flows.cli.run_view", logging.INFO, "[red]ours"),
            ("a_library", logging.INFO, "theirs"),
            ("httpx", logging.INFO, "a request"),
            ("a_library", logging.WARNING, "their warning"),
            ("prefect.task_runs", logging.ERROR, "Finished in state Failed('...')"),
            ("tasks.tracking", logging.ERROR, "our error"),
        ):
            logging.getLogger(name).handle(logging.LogRecord(name, level, "", 0, text, (), None))
    return [line.split(" ", 1)[1] for line in file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("amount", "shown"), [(Amount.NORMAL, []), (Amount.VERBOSE, ["ERROR prefect.task_runs: Task run failed"])]
)
def test_a_failed_state_is_not_shown_as_an_error_without_a_name(amount: Amount, shown: list[str]) -> None:
    file, logger = io.StringIO(), logging.getLogger("prefect.task_runs")
    with printing_log(LogLines(Console(file=file, width=200), amount, has_bars=False), amount):
        # As Prefect does, outside of any exception.
        record = logger.makeRecord(
            logger.name, logging.ERROR, "", 0, "Task run failed", (), (None, None, None)
        )
        logger.handle(record)
    assert [line.split(" ", 1)[1] for line in file.getvalue().splitlines()] == shown


def test_the_log_has_our_lines_and_the_libraries_warnings() -> None:
    assert shown_log(Amount.NORMAL) == ["progress", "[red]ours", "their warning", "our error"]


def test_with_bars_no_line_repeats_what_they_show() -> None:
    assert shown_log(Amount.NORMAL, has_bars=True) == ["[red]ours", "their warning", "our error"]


def test_a_quiet_log_has_errors_alone() -> None:
    assert shown_log(Amount.QUIET) == ["our error"]


def test_a_verbose_log_has_the_libraries_lines_with_their_names() -> None:
    lines = shown_log(Amount.VERBOSE)
    assert "INFO a_library: theirs" in lines
    assert not any("a request" in line for line in lines)


def test_without_a_terminal_a_stage_ends_in_a_line_with_its_score_and_the_count(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flows")
    with viewing_run(Amount.NORMAL) as view:
        view.begin(3, ["RTE/tokens"])
        with view.stage("RTE/teacher") as observer:
            observer.metrics(1, {"dev/accuracy": 0.904})
        with pytest.raises(ValueError, match="broken"), view.stage("RTE/kd"):
            raise ValueError("broken")
        with view.stage("RTE/tokens"):
            pass
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "RTE/teacher: done in 0:00, dev accuracy 90.4 (2 of 3 stages)",
        "RTE/kd: failed after 0:00: broken",
    ]


def test_prefects_senders_write_no_line_after_a_runs_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert {APILogWorker.__name__, EventsWorker.__name__} == set(SENDERS)
    root = logging.getLogger()
    with printing_log(LogLines(Console(file=io.StringIO()), Amount.NORMAL, has_bars=False), Amount.NORMAL):
        pass
    others, root.handlers = (
        root.handlers,
        [],
    )  # as at the end of a process: what is left goes to standard error
    try:
        for name in SENDERS:
            logging.getLogger(name).warning("Still processing items: 1 items remaining...")
        logging.getLogger("another").warning("a warning")
    finally:
        root.handlers = others
    assert capsys.readouterr().err == "a warning\n"


PROGRAM = """
import logging, sys, time
from flows.cli.log_lines import Amount
from flows.cli.run_view import viewing_run
from flows.stopping import end_process
for name in ("tasks", "flows"):
    logging.getLogger(name).setLevel(logging.INFO)
with viewing_run(Amount.NORMAL) as view:
    view.begin(24, ["a", "b"])
    with view.stage("RTE/teacher") as observer:
        observer.progress(1, 10, "steps")
        time.sleep(0.4)
        logging.getLogger("tasks").info("a line")
        view.message("a message")
        time.sleep(0.4)
        if "end" in sys.argv:
            end_process(3)
"""


def on_terminal(*arguments: str, **variables: str) -> tuple[int, str]:
    """Run the program on a terminal of 80 columns, and return its status and all that it wrote there."""
    parent, child = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=child,
        stderr=child,
        env=environment | {"TERM": "xterm", "COLUMNS": "80"} | variables,
        cwd=Path(__file__).parents[2],
    )
    os.close(child)
    written = bytearray()

    def read() -> None:
        try:
            while part := os.read(parent, 4096):
                written.extend(part)
        except OSError:  # the other end was closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    status = process.wait(60)
    reader.join(10)
    os.close(parent)
    return status, written.decode("utf-8")


@pytest.mark.parametrize("arguments", [[], ["end"]])
def test_bars_leave_nothing_on_the_terminal_however_the_process_ends(arguments: list[str]) -> None:
    status, written = on_terminal(*arguments)
    assert status == (3 if arguments else 0)
    assert "RTE/teacher" in written and "2 of 24 stages" in written
    # Both lines stand by themselves, above the bars: each begins where the bars were erased.
    assert re.search(r"\x1b\[2K\d\d:\d\d:\d\d a line\s*\r\n", written)
    assert re.search(r"\x1b\[2Ka message\s*\r\n", written)
    # The last that is written erases the bars, and the cursor is shown.
    assert re.search(r"\x1b\[\?25h(\r?\x1b\[1A\x1b\[2K)*\r?$", written) or written.endswith("stages)\r\n")
    assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l")


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"CI": "true"}])
def test_a_terminal_that_cannot_show_bars_gets_lines_without_control_characters(
    variables: dict[str, str],
) -> None:
    status, written = on_terminal(**variables)
    assert status == 0
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d a line\r\na message\r\n"
        r"\d\d:\d\d:\d\d RTE/teacher: done in 0:01 \(3 of 24 stages\)\r\n",
        written,
    )


def test_no_color_keeps_the_bars_and_leaves_out_colours() -> None:
    _, written = on_terminal(NO_COLOR="1")
    assert "2 of 24 stages" in written
    assert not re.search(r"\x1b\[[0-9;]*m", written.replace("\x1b[0m", "").replace("\x1b[1m", ""))
