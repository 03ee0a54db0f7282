"""Texts without any label become labelled data: their labels are what the given teachers answer.

Shape suffixes: B texts of a block, C labels.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pkd_core.errors import ConfigError, DataError
from pkd_core.evaluation.label_order import order_by_name
from pkd_core.evaluation.text_answers import Answer, Array, Kind, answers_of
from pkd_core.own_data.columns import NoLabelsError
from pkd_core.own_data.files import find_files
from pkd_core.own_data.own_data import task_name
from pkd_core.own_data.request import DataRequest
from pkd_core.own_data.row_index import Part, read_texts
from pkd_core.pipeline.own_teachers import OwnTeacher, find_own_teacher
from pkd_core.runtime.device import find_device
from pkd_core.runtime.observer import LogObserver, Observer
from pkd_core.runtime.process_setup import configure_process
from pkd_core.store.atomic import atomic_file
from pkd_core.store.fingerprint import canonical_json, sha256_file
from pkd_core.store.lock import hold
from pkd_core.store.os_errors import file_errors

if TYPE_CHECKING:
    from torch import Tensor

    from pkd_core.model.text_classifier import TextClassifier

FOLDER = ".teacher-labels"
# Part of the files' names: raise it when the same texts get other labels.
_VERSION = 1
_TYPES = {"classes": pa.string(), "multi-label": pa.list_(pa.string()), "regression": pa.float64()}


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with the labels of their teachers.

    Attributes:
        request: Reads them, as the user's request read the texts.
        labelled_by: The teachers' names.
    """

    request: DataRequest
    labelled_by: str


def label_texts(
    request: DataRequest, unlabelled: NoLabelsError, teachers: Sequence[str], data_raw: Path, device: str
) -> LabelledTexts:
    """Let teachers label a file of texts, once: the answers are kept below `data_raw`.

    Args:
        request: What the user gave.
        unlabelled: Says which columns are texts.
        teachers: Folders or hub names; of several, the mean of their probabilities decides.
        data_raw: Folder of the tasks.
        device: Where to compute.

    Raises:
        PkdError: The texts are several files, a teacher cannot be used, or the disk refuses.
    """
    files = find_files(request)
    if len(files) > 1:
        raise DataError(
            f"{request.data}: texts without labels need to be one file, which is then divided, got {len(files)}; put "
            "them into one"
        )
    part = Part(files[0].source, unlabelled.texts, (), None, None)
    found = [find_own_teacher(name) for name in teachers]
    names = " + ".join(teacher.short_name for teacher in found)
    column = next(name for name in ("label", "label_", "label__") if name not in part.texts)
    path = data_raw / FOLDER / f"{_digest(part, found)}.parquet"
    with file_errors("create", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    kind = _kind(found[0])
    with hold(path.with_suffix(".lock"), f"the labels of {request.data}"):
        if not path.is_file():
            _write(path, part, column, found, device, LogObserver(f"labels by {names}"))
    changes = {
        "data": path,
        "name": task_name(request),
        "texts": part.texts,
        "label": (column,),
        "kind": kind,
    }
    return LabelledTexts(request.model_copy(update={**changes, "encoding": None}), names)


def _digest(part: Part, teachers: Sequence[OwnTeacher]) -> str:
    texts = [part.texts, [sha256_file(file) for file in part.source.files]]
    values = [_VERSION, texts, [teacher.digest for teacher in teachers]]
    return hashlib.sha256(canonical_json(values)).hexdigest()[:32]


def _kind(teacher: OwnTeacher) -> Kind:
    settings = teacher.settings
    if len(settings.labels) == 1 or settings.problem_type == "regression":
        return "regression"
    return "multi-label" if settings.problem_type == "multi_label_classification" else "classes"


def _write(
    path: Path, part: Part, column: str, teachers: Sequence[OwnTeacher], device: str, observer: Observer
) -> None:
    configure_process()
    answering = _Answering(teachers, device)
    num_rows = sum(len(texts) for texts, _ in read_texts(part))
    fields = [*((name, pa.string()) for name in part.texts), (column, _TYPES[answering.kind])]
    schema = pa.schema(fields)
    num_done = 0
    observer.progress(num_done, num_rows, "texts")
    with (
        file_errors("write", path),
        atomic_file(path) as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for texts, _ in read_texts(part):
            labels = [_label(one, answering.kind) for one in answering.answers(texts)]
            columns = [*zip(*texts, strict=True), labels]
            arrays = [pa.array(values, one.type) for values, one in zip(columns, schema, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))
            num_done += len(texts)
            observer.progress(num_done, num_rows, "texts")


def _label(answer: Answer, kind: Kind) -> str | float | list[str] | None:
    if kind == "regression":
        return answer.score
    names = list(answer.labels)
    return names if kind == "multi-label" else names[0]


class _Answering:
    """Teachers that answer together.

    Args:
        teachers: All of one kind, with the same labels in any order.
        device: Where to compute.

    Raises:
        ConfigError: The labels differ.
        ModelError: A teacher is not complete.
    """

    def __init__(self, teachers: Sequence[OwnTeacher], device: str) -> None:
        from pkd_core.model.text_classifier import load_text_classifier  # imports torch, which takes seconds

        self.kind = _kind(teachers[0])
        self._labels = teachers[0].settings.labels
        self._orders = [_order(self._labels, self.kind, teacher) for teacher in teachers]
        self._members: list[TextClassifier] = [load_text_classifier(one.folder) for one in teachers]
        self._device = find_device(device)

    def answers(self, texts: Sequence[tuple[str, ...]]) -> Iterator[Answer]:
        """Yield the joint answer to each example."""
        from pkd_core.model.text_classifier import run_texts

        windows = (run_texts(member, texts, self._device) for member in self._members)
        for outputs in zip(*windows, strict=True):
            ordered = [one.logits_BC[:, order] for one, order in zip(outputs, self._orders, strict=True)]
            yield from answers_of(_join(ordered, self.kind), self.kind, self._labels)


def _join(logits_BC: Sequence["Tensor"], kind: Kind) -> Array:
    """Return the joint answer of all teachers; that of one is as it is."""
    from pkd_core.model.joint_answers import mean_of_classes, mean_of_labels, mean_of_scores

    if len(logits_BC) == 1:
        return logits_BC[0].numpy()
    match kind:
        case "regression":
            return mean_of_scores(logits_BC).numpy()
        case "multi-label":
            return mean_of_labels(logits_BC).numpy()
        case "classes":
            return mean_of_classes(logits_BC).numpy()


def _order(labels: Sequence[str], kind: Kind, teacher: OwnTeacher) -> Sequence[int]:
    if _kind(teacher) == kind:
        order = (0,) if kind == "regression" else order_by_name(labels, teacher.settings.labels)
        if order is not None:
            return order
    raise ConfigError(
        f"{teacher.name} needs the labels of the first teacher to label texts with it; give teachers that were "
        "fine-tuned on the same labels, or one."
    )
