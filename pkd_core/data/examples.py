"""Reading a split's examples, whatever the form of its files; and the sequences of tokens that an example is."""

from collections.abc import Iterator
from pathlib import Path

from pkd_core.data.race import question_files, read_questions, sequences
from pkd_core.data.task import Split, Task
from pkd_core.data.tsv import BadLine, Example, read_examples


def read_split(
    path: Path, task: Task, split: Split, bad_lines: list[BadLine] | None = None
) -> Iterator[Example]:
    """Yield the examples of a split; see `read_examples` and, of a task with choices, `read_questions`."""
    if task.num_choices > 1:
        return read_questions(path, split)
    return read_examples(path, task, split, bad_lines)


def files_of(path: Path) -> list[Path]:
    """Return the files of a split: its TSV file, or those of its folder."""
    return question_files(path) if path.is_dir() else [path]


def sequences_of(example: Example, num_choices: int) -> list[tuple[str, ...]]:
    """Return the one or two texts of each sequence of an example."""
    return [example.texts] if num_choices == 1 else [*sequences(example.texts)]
