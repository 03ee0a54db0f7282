"""The record of the latest report is a convenience: whatever it holds, it is ignored or right, and written again."""

from pathlib import Path

import pytest
from command import run_pkd

from flows.latest_report import latest_report, record_latest
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


def test_a_report_without_its_table_is_named(workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (workspace / REPORT.path / "report.txt").unlink()
    assert run_pkd("report") == 2
    assert f"needs to read {REPORT.path}/report.txt" in capfd.readouterr().err
