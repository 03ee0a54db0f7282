"""The report on Prefect's page, which cannot read files."""

import base64
from pathlib import Path
from typing import Any

import pytest

import flows.pages
from flows.pages import show_report
from pkd_core.errors import StoreError
from pkd_core.store.address import StageRecord

RECORD = StageRecord("reports", "report", 16 * "0", 16 * "d", "artifacts/reports/report-0123456789abcdef", {})


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    for create in ("create_markdown_artifact", "create_link_artifact"):
        monkeypatch.setattr(flows.pages, create, lambda text, **_: texts.append(text))
    return texts


def test_the_figure_is_part_of_the_page_and_the_whole_report_is_linked(
    tmp_path: Path, shown: list[str]
) -> None:
    folder = tmp_path / RECORD.path
    folder.mkdir(parents=True)
    (folder / "report.md").write_text("# Results\n\n![Dev scores](report.png)\n\nend\n", encoding="utf-8")
    (folder / "report.png").write_bytes(b"\x89PNG")
    show_report(tmp_path, RECORD)
    embedded = base64.b64encode(b"\x89PNG").decode("ascii")
    assert shown == [
        f"# Results\n\n![Dev scores](data:image/png;base64,{embedded})\n\nend\n",
        (folder / "report.html").as_uri(),
    ]


def test_a_report_that_is_gone_is_named(tmp_path: Path, shown: list[Any]) -> None:
    with pytest.raises(StoreError, match="report-0123456789abcdef"):
        show_report(tmp_path, RECORD)
    assert shown == []
