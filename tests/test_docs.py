"""The documentation: short lines, links and paths that exist, and no retired names in the code."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_LINE = 120
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MODULES = sorted(
    path
    for folder in ("pkd_core", "tasks", "flows", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
URL = re.compile(r"https?://[^\s)]+")
LINK = re.compile(r"\]\(([^)#\s]+)")
# A path with <...> or * is a pattern for a workspace's files.
REPOSITORY_PATH = re.compile(r"`((?:pkd_core|tasks|flows|tests|docs|benchmarks)/[^`<*\s]*)`")
# Names of earlier versions, each replaced by a term of the field.
RETIRED_NAMES = {
    "StepFeed",
    "TeacherPart",
    "UsedVocabulary",
    "ask_to_stop",
    "draw_stages",
    "key_bias",
    "leftovers",
    "own_task",
    "read_own_task",
    "settle",
    "told",
    "dice",
    "doors",
    "theirs",
    "nasty",
    "noting_run",
    "quiet_transformers",
    "rivals",
    "say",
    "spoilt",
    "tally",
    "to_places",
    "to_rows",
    "withdraw",
}


def long_lines(text: str) -> list[str]:
    """Return the lines over the limit; a URL does not count, as it cannot be wrapped."""
    return [line for line in text.splitlines() if len(URL.sub("", line)) > MAX_LINE]


def missing_paths(page: Path, text: str) -> list[str]:
    """Return the relative links and the repository's paths in a page that do not exist."""
    links = [page.parent / target for target in LINK.findall(text) if not URL.match(target)]
    paths = [ROOT / target for target in REPOSITORY_PATH.findall(text)]
    return [str(path) for path in (*links, *paths) if not path.exists()]


def names(source: str) -> Iterator[str]:
    """Yield every identifier of a module."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.string


def _page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_page_id)
def test_a_page_has_no_line_over_120_characters(page: Path) -> None:
    assert long_lines(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=_page_id)
def test_a_page_links_to_files_that_exist(page: Path) -> None:
    assert missing_paths(page, page.read_text(encoding="utf-8")) == []


def test_decisions_are_numbered_without_gaps() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    titles = [page.read_text(encoding="utf-8").partition("\n")[0] for page in pages]
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    assert [title.partition(".")[0] for title in titles] == [
        f"# {number + 1}" for number in range(len(pages))
    ]


def test_no_identifier_has_a_retired_name() -> None:
    found = {
        f"{_page_id(module)}: {name}"
        for module in MODULES
        for name in RETIRED_NAMES.intersection(names(module.read_text(encoding="utf-8")))
    }
    assert found == set()


def test_a_long_line_a_missing_path_and_a_retired_name_are_found() -> None:
    assert long_lines("x" * 121 + "\n" + "x" * 100 + " https://example.org/" + "y" * 50) == ["x" * 121]
    text = "[a](docs/none.md) [b](README.md) `tests/none.py` `tests/test_docs.py` `flows/<TASK>/x` [c](https://a.org/b)"
    assert missing_paths(ROOT / "README.md", text) == [
        str(ROOT / "docs/none.md"),
        str(ROOT / "tests/none.py"),
    ]
    assert "say" in set(names("def f(say):\n    return 'tell'\n"))
    assert "tell" not in set(names("def f(say):\n    return 'tell'\n"))
