"""Bad inputs by the thousand: nasty texts, and good files with parts of them spoilt."""

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
# What a system can pass to a program: no NUL, and of lone surrogates those that stand for bytes outside UTF-8.
words = st.one_of(
    st.sampled_from(_TEXTS),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
)
_pieces = st.one_of(st.sampled_from(_BYTES), st.binary(max_size=8))


@st.composite
def spoilt_bytes(draw: st.DrawFn, good: Sequence[bytes]) -> bytes:
    """Return a good file with up to four cuts, insertions or doubled lines, or a short file of any bytes."""
    content = draw(st.one_of(st.sampled_from(good), st.binary(max_size=60)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.sampled_from((0, 0, 1, 5, len(content)))))
        content = content[:start] + draw(_pieces) + content[stop:]
    return content


@st.composite
def spoilt_json(draw: st.DrawFn, good: dict[str, Any]) -> bytes:
    """Return a good JSON object with up to three of its values replaced, removed or joined by others."""
    whole = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        at: Any = whole
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(at[key], dict | list) and at[key] and draw(st.booleans()):
                at = at[key]
                continue
            if draw(st.integers(0, 3)):
                at[key] = copy.deepcopy(draw(st.sampled_from(_VALUES)))
            else:
                del at[key]
            break
    return json.dumps(whole).encode()
