"""The record of the latest report is a convenience: whatever it holds, it is ignored or right, and written again."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from command import run_pkd

from flows.cli import listing
from flows.latest_report import latest_report, record_latest
from pkd_core.evaluation.paired_bootstrap import Difference
from pkd_core.report.differences import ComparedPair
from pkd_core.store.address import StageRecord

FINGERPRINT = "0123456789abcdef"
REPORT = StageRecord("reports", "report", FINGERPRINT, "d" * 32, f"artifacts/reports/report-{FINGERPRINT}")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with one report, which is recorded as the latest, and one beside the workspace."""
    for root in (tmp_path / "workspace", tmp_path):
        (root / REPORT.path).mkdir(parents=True)
        (root / REPORT.path / "report.txt").write_text(f"the table of {root.name}\n", encoding="utf-8")
    record_latest(tmp_path / "workspace", REPORT)
    monkeypatch.chdir(tmp_path / "workspace")
    return tmp_path / "workspace"


def test_the_recorded_report_is_shown(workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert latest_report(workspace) == workspace / REPORT.path
    assert run_pkd("report") == 0
    assert "the table of workspace" in capfd.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        f"../{REPORT.path}".encode(),
        f"artifacts/reports/../../../{REPORT.path}".encode(),
        b"/etc",
        b".",
        b"artifacts/reports/report-00\0",
        b"artifacts/reports/report-" + 300 * b"0",
        b"x" * 10_000_000,
    ],
)
def test_a_record_that_holds_anything_else_is_ignored_and_written_again(
    content: bytes, workspace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = workspace / "artifacts" / "reports" / "latest.txt"
    path.write_bytes(content)
    assert latest_report(workspace) is None
    assert run_pkd("report") == 2
    assert "there is no report in" in capfd.readouterr().err
    record_latest(workspace, REPORT)
    assert latest_report(workspace) == workspace / REPORT.path


def test_a_record_that_is_a_folder_is_ignored(workspace: Path) -> None:
    path = workspace / "artifacts" / "reports" / "latest.txt"
    path.unlink()
    path.mkdir()
    assert latest_report(workspace) is None


def pair(first: str, difference: float, num_seeds: int = 3, task: str = "RTE") -> dict[str, Any]:
    result = Difference(first, "finetune", difference, difference - 0.02, difference + 0.022, 0.01, 0.2)
    return asdict(ComparedPair(task, 3, 277, num_seeds, result, "dev"))


@pytest.mark.parametrize("columns", [40, 200])
def test_methods_of_several_seeds_are_compared_in_lines_that_fit_the_terminal(
    columns: int, workspace: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "terminal_width", lambda: columns)
    pairs = [pair("kd", 0.01), pair("pkd-skip", -0.01), pair("kd", 0.5, 1), pair("kd", 0.02, task="MRPC")]
    path = workspace / REPORT.path / "report.json"
    path.write_text(json.dumps({"differences": pairs}), encoding="utf-8")
    assert run_pkd("report") == 0
    out = capfd.readouterr().out.partition("the table of workspace\n")[2].partition("\nreport: ")[0]
    assert " ".join(out.split()) == (
        "RTE, 3 layers, differences with 95 % intervals: "
        "kd leads finetune by 1.0 points (2.8 of 277 examples), interval -1.0 to 3.2: not distinguishable "
        "finetune leads pkd-skip by 1.0 points (2.8 of 277 examples), interval -1.2 to 3.0: not distinguishable "
        "MRPC, 3 layers, differences with 95 % intervals: "
        "kd leads finetune by 2.0 points (5.5 of 277 examples), interval 0.0 to 4.2: not distinguishable"
    )
    assert max(len(line) for line in out.splitlines() if line.startswith(" ")) <= columns


@pytest.mark.parametrize("content", ["", "[]", '{"differences": [{"task": "RTE"}]}'])
def test_a_report_whose_differences_cannot_be_read_shows_its_table(
    content: str, workspace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (workspace / REPORT.path / "report.json").write_text(content, encoding="utf-8")
    assert run_pkd("report") == 0
    assert "the table of workspace\n\nreport: " in capfd.readouterr().out


def test_a_report_without_its_table_is_named(workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (workspace / REPORT.path / "report.txt").unlink()
    assert run_pkd("report") == 2
    assert f"needs to read {REPORT.path}/report.txt" in capfd.readouterr().err
