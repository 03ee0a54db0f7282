"""Writes a compression as JSON, a page, a model card and a table for terminals, and reads what is shown again."""

import json
from dataclasses import asdict
from pathlib import Path

from pkd_core.errors import StoreError
from pkd_core.report.compression.card import model_card
from pkd_core.report.compression.content import Compression
from pkd_core.report.compression.page import html_page
from pkd_core.report.compression.table import terminal_table
from pkd_core.report.compression.verdict import Verdict, judge

JSON, PAGE, CARD, TABLE = "compression.json", "compression.html", "README.md", "compression.txt"
_FORMAT_VERSION = 1


def write_compression(folder: Path, compression: Compression) -> None:
    """Write `compression.json`, `compression.html`, `README.md` and `compression.txt` into an existing folder.

    The same compression gives the same bytes.
    """
    values = {
        "format_version": _FORMAT_VERSION,
        **asdict(compression),
        "verdict": asdict(judge(compression)),
    }
    texts = {
        JSON: json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False),
        PAGE: html_page(compression),
        CARD: model_card(compression),
        TABLE: terminal_table(compression),
    }
    for name, text in texts.items():
        (folder / name).write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def read_verdict(folder: Path) -> Verdict:
    """Read the verdict of a published compression.

    Raises:
        StoreError: It cannot be read, or is of another version.
    """
    try:
        values = json.loads((folder / JSON).read_text(encoding="utf-8"))["verdict"]
        return Verdict(**values | {key: tuple(values[key]) for key in ("objections", "remarks")})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / JSON} cannot be read; run again to write a new one.") from error
