"""Strategies for malformed inputs: unusual texts and values, and valid files with corrupted parts."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

_TEXTS = (
    "",
    " ",
    "\t",
    "\n",
    "\r",
    "a\r\nb",
    "\ufeff",
    "\u2028",
    "\x1b[31m",
    "\x07\x08",
    "../x",
    "/etc/passwd",
    "~",
    ".",
    "..",
    "-",
    "--",
    "=",
    "==",
    "a=",
    "=1",
    "1e999",
    "-1e999",
    "nan",
    "inf",
    "-0",
    "0x10",
    "1_000",
    "１２",
    "٣",
    "1,2,,3",
    ",",
    "null",
    "True",
    "{}",
    "[]",
    "%s%n",
    "${HOME}",
    "$(id)",
    "'; --",
    "[bold]",
    "[/red]",
    "שלום",
    "\u202etxt.exe",
    "👩‍👩‍👧",
    "é\u0301",
    "\udcff",
    "x" * 5000,
    "9" * 5000,
)
_BYTES = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\t",
    b'"',
    b"'",
    b"\\",
    b"=",
    b"[",
    b"]]",
    b"{",
    b"}",
    b",",
    b"nan",
    b"1e999",
    b"-1",
    b"x" * 3000,
    b"9" * 5000,
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    3,
    2.5,
    -0.0,
    10**30,
    float("nan"),
    float("inf"),
    "",
    "x",
    "1",
    "bert",
    "gelu\n",
    [],
    [1],
    ["x"],
    {},
    {"x": 1},
    [[[]]],
    {"0": None},
)

texts = st.one_of(st.sampled_from(_TEXTS), st.text(max_size=20), st.text("0123456789.eE+-,=_ ", max_size=8))
values = st.one_of(st.sampled_from(_VALUES), texts, st.integers(), st.floats(), st.lists(texts, max_size=3))
# What a system can pass to a program: no NUL, and only the lone surrogates that encode bytes outside UTF-8.
arguments = st.one_of(
    st.sampled_from(_TEXTS),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
)
_pieces = st.one_of(st.sampled_from(_BYTES), st.binary(max_size=8))


@st.composite
def corrupted_bytes(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    """Return a valid file with up to four deletions, insertions or replacements, or a short random file."""
    content = draw(st.one_of(st.sampled_from(valid), st.binary(max_size=60)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.sampled_from((0, 0, 1, 5, len(content)))))
        content = content[:start] + draw(_pieces) + content[stop:]
    return content


@st.composite
def corrupted_json(draw: st.DrawFn, valid: dict[str, Any]) -> bytes:
    """Return a valid JSON object with up to three of its values replaced or removed."""
    document = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        node: Any = document
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], dict | list) and node[key] and draw(st.booleans()):
                node = node[key]
                continue
            if draw(st.integers(0, 3)):
                node[key] = copy.deepcopy(draw(st.sampled_from(_VALUES)))
            else:
                del node[key]
            break
    return json.dumps(document).encode()
