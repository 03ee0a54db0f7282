"""Reading a split's examples, whatever the form of its files; and the sequences of tokens that an example is."""

from collections.abc import Iterator
from pathlib import Path

from pkd_core.data.parquet_split import read_parquet
from pkd_core.data.race import question_files, read_questions, sequences
from pkd_core.data.task import Split, Task, is_parquet
from pkd_core.data.tsv import BadLine, Example, read_examples


def read_split(
    path: Path, task: Task, split: Split, bad_lines: list[BadLine] | None = None
) -> Iterator[Example]:
    """Yield the examples of a split; see `read_examples`, `read_parquet` and, of choices, `read_questions`."""
    if task.num_choices > 1:
        return read_questions(path, split)
    if is_parquet(split.file):
        return read_parquet(path, task, split)
    return read_examples(path, task, split, bad_lines)


def files_of(path: Path) -> list[Path]:
    """Return the files of a split: its file, or those of its folder."""
    return question_files(path) if path.is_dir() else [path]


def sequences_of(example: Example, num_choices: int) -> list[tuple[str, ...]]:
    """Return the one or two texts of each sequence of an example."""
    return [example.texts] if num_choices == 1 else [*sequences(example.texts)]
