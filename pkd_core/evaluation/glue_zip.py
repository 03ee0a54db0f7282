"""The zip of eleven files that the GLUE server takes, each checked against the test file that it predicts."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.task import Split, Task
from pkd_core.data.tsv import read_examples
from pkd_core.errors import DataError, listed
from pkd_core.store.atomic import atomic_file
from pkd_core.store.os_errors import file_errors

_HEADER = "index\tprediction"
# A zip of equal files has equal bytes; no zip knows an earlier time.
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class TestFile:
    """One of the eleven: the task and the split that it predicts."""

    __test__ = False  # no test of pytest's

    task: Task
    split: Split

    @property
    def name(self) -> str:
        """Its name in the zip, such as "MNLI-mm.tsv"."""
        return self.split.submission or f"{self.task.name}.tsv"


def glue_files() -> list[TestFile]:
    """Return the eleven files that the server wants."""
    return [TestFile(task, split) for task in GLUE_TASKS.values() for split in task.test_splits]


def constant_predictions(file: TestFile, data_raw: Path) -> str:
    """Return a submission file that always gives the most frequent training label, or the mean score.

    Raises:
        DataError: The task's train or test file is missing or malformed.
    """
    train = file.task.train_split
    labels = [one.label for one in read_examples(data_raw / train.file, file.task, train, [])]
    if file.task.is_regression:
        scores = [label for label in labels if isinstance(label, float)]
        answer = f"{sum(scores) / len(scores):.3f}"
    else:
        classes = [label for label in labels if isinstance(label, int)]
        answer = file.task.labels[max(set(classes), key=classes.count)]
    return "".join(
        f"{line}\n" for line in [_HEADER, *(f"{index}\t{answer}" for index in _ids(file, data_raw))]
    )


def check_predictions(text: str, file: TestFile, data_raw: Path) -> None:
    """Check that a submission file answers every line of its test file once, with a label of the task.

    Raises:
        DataError: It does not; names the first line that is wrong.
    """
    header, *lines = text.removesuffix("\n").split("\n")
    expected = _ids(file, data_raw)
    if header != _HEADER or len(lines) != len(expected):
        raise DataError(
            f"{file.name} needs a header and {len(expected)} lines, as {file.split.file} has, got {len(lines)} lines; "
            f"run {file.task.name} again."
        )
    for number, (line, index) in enumerate(zip(lines, expected, strict=True), start=2):
        found, _, answer = line.partition("\t")
        if found != str(index) or not _is_answer(answer, file.task):
            raise DataError(
                f"{file.name}:{number}: expected index {index} and a prediction, got {line!r}; run {file.task.name} "
                "again."
            )


def write_glue_zip(path: Path, contents: Mapping[str, str]) -> None:
    """Write the zip; equal contents give equal bytes.

    Args:
        path: The zip; an existing one is replaced once the new one is whole.
        contents: Text of each of the eleven files, by its name.

    Raises:
        DataError: A file is missing or is none of the eleven.
        StoreError: The disk cannot be written.
    """
    names = {file.name for file in glue_files()}
    if wrong := sorted(names ^ contents.keys()):
        raise DataError(
            f"the GLUE server takes eleven files, {listed(sorted(names))}; got others for {listed(wrong)}."
        )
    with file_errors("write", path), atomic_file(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, contents[name])


def _ids(file: TestFile, data_raw: Path) -> list[int]:
    path = data_raw / file.split.file
    if not path.is_file():
        raise DataError(f"{file.name} needs {path}, which does not exist; put the file there.")
    return [example.example_id for example in read_examples(path, file.task, file.split, [])]


def _is_answer(answer: str, task: Task) -> bool:
    if not task.is_regression:
        return answer in task.labels
    low, high = task.label_range or (float("-inf"), float("inf"))
    try:
        return low <= float(answer) <= high
    except ValueError:
        return False
