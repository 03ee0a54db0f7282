"""Reads the report's page as a browser does, and refuses what is not well-formed."""

import re
from html.parser import HTMLParser

_VOID = {"meta", "br", "hr", "img", "link", "input"}


class ParsedPage(HTMLParser):
    """The tables, texts and attributes of a page.

    Attributes:
        tables: For each table, its rows of cells' texts.
        attributes: Every attribute of every tag.
        tags: Every tag's name.
        text: All text outside of the style sheet.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == [], "every tag is closed"
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.text += " "
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> closes another tag"
        self.text += " "

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if "td" in self._open or "th" in self._open:
            cell = self.tables[-1][-1][-1] + " " + data
            self.tables[-1][-1][-1] = " ".join(cell.split())

    def table(self, corner: str) -> dict[str, dict[str, str]]:
        """Return the first table whose first heading is this one, by its rows' first cells and its headings."""
        for headings, *rows in self.tables:
            if headings[0] == corner:
                return {row[0]: dict(zip(headings, row, strict=True)) for row in rows}
        raise AssertionError(f"no table begins with {corner!r}")
