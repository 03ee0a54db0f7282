"""What to do about a data file of another format in the place of a TSV file."""

from collections.abc import Iterator
from pathlib import Path

# White space within a text becomes one space: a tab or a newline would end the field.
_CONVERSION = (
    'python -c \'import pandas; pandas.{call}.replace(r"\\s+", " ", regex=True)'
    '.to_csv("{target}", sep="\\t", index=False, quoting=3)\''
)


def conversion_hint(path: Path) -> str | None:
    """Return how to make a missing TSV file of one that lies beside it in another format; None if there is none."""
    if path.suffix != ".tsv":
        return None
    for other, call in _others(path):
        if other.is_file():
            if call is None:
                return f"there is {other.name} instead: rename it to {path.name} if tabs separate its columns"
            command = _CONVERSION.format(call=call, target=path.name)
            return f"there is {other.name} instead: convert it in that folder with {command}"
    return None


def _others(path: Path) -> Iterator[tuple[Path, str | None]]:
    calls = {".csv": "read_csv({!r})", ".jsonl": "read_json({!r}, lines=True)", ".json": "read_json({!r})"}
    for suffix, call in calls.items():
        other = path.with_suffix(suffix)
        yield other, call.format(other.name).replace("'", '"')
    yield path.with_suffix(".txt"), None
