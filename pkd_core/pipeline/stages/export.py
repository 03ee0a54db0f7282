"""Stage: a trained model as ONNX files and a bundle, checked against torch on the task's own texts.

Shape suffixes: R texts, C outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from pkd_core.data.examples import read_split
from pkd_core.data.task import Split, Task
from pkd_core.evaluation.answers import write_answers
from pkd_core.evaluation.metrics import compute_metrics
from pkd_core.export.bundle import PREDICT, SETTINGS, TOKENIZER, export_bundle
from pkd_core.export.bundle_predict import FLOAT32, INT8, Model
from pkd_core.export.gates import check_parity, share_changed, spread_rows, why_refused
from pkd_core.export.onnx_files import quantize
from pkd_core.export.result import ExportResult, int8_answers, write_export
from pkd_core.pipeline.export_specs import ExportSpec
from pkd_core.pipeline.facts import ExportFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.stages.export_source import ExportSource, find_source
from pkd_core.runtime.device import machine_of

Array = np.ndarray[Any, Any]

_PARITY_TEXTS = 200
_WINDOW = 256
_PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class _Examples:
    """A labelled split: its ids, texts and labels."""

    split: str
    example_ids_R: Array
    texts: list[tuple[str, ...]]
    labels_R: Array


def export_model(job: Job, spec: ExportSpec) -> ExportFacts:
    """Write the bundle, `export.json`, and the answers of int8 to each labelled split.

    Raises:
        ConfigError: A package of the extra "export" is missing.
        ModelError: The model cannot be exported, or its exported logits are not those of torch.
    """
    dev, *others = (_read(job, split) for split in job.task.dev_splits)
    source = find_source(job, spec)
    runs = _Runs(job, source, [dev, dev, *others])
    bundle = source.bundle
    export_bundle(source.folder, job.work, bundle, source.inputs)
    parity_texts, difference = _compare_with_torch(job, source, dev.texts)
    quantize(job.work)
    float32_RC = runs.logits(FLOAT32, dev)
    int8_RC = runs.logits(INT8, dev)
    changed = share_changed(bundle.kind, float32_RC, int8_RC)
    refused = why_refused(bundle.kind, changed, spec.export.max_changed)
    scores: dict[str, float] = {}
    if refused:
        (job.work / INT8).unlink()
    else:
        for examples in (dev, *others):
            logits_RC = int8_RC if examples is dev else runs.logits(INT8, examples)
            scores |= _keep(job, spec, examples, logits_RC)
    files = (FLOAT32, INT8, TOKENIZER, SETTINGS, PREDICT)
    result = ExportResult(
        model=job.manifests["model"].stage,
        kind=bundle.kind,
        max_length=bundle.max_length,
        bytes={name: (job.work / name).stat().st_size for name in files if (job.work / name).is_file()},
        parity_texts=parity_texts,
        largest_difference=difference,
        num_dev=len(dev.texts),
        share_changed=changed,
        max_changed=spec.export.max_changed,
        refused=refused,
        int8_scores=scores,
        machine=machine_of("cpu"),
        versions={name: version(name) for name in _PACKAGES},
    )
    write_export(job.work, result)
    return ExportFacts(bytes=dict(result.bytes), share_changed=changed, refused=refused)


def _read(job: Job, split: Split) -> _Examples:
    examples = list(read_split(job.data_raw / split.file, job.task, split, []))
    return _Examples(
        split.name,
        np.array([one.example_id for one in examples], dtype=np.int64),
        [one.texts for one in examples],
        _labels(job.task, [one.label for one in examples]),
    )


def _labels(task: Task, labels: Sequence[Any]) -> Array:
    """Return labels as the tables of tokens have them."""
    if not task.multi_label:
        return np.array(labels, dtype=np.float32 if task.is_regression else np.int64)
    labels_RC = np.zeros((len(labels), len(task.labels)), dtype=np.float32)
    for row, positions in enumerate(labels):
        labels_RC[row, list(positions)] = 1
    return labels_RC


def _compare_with_torch(job: Job, source: ExportSource, texts: list[tuple[str, ...]]) -> tuple[int, float]:
    """Return how many dev texts were compared, from the shortest to the longest, and the largest difference."""
    chosen = [texts[row] for row in spread_rows(texts, _PARITY_TEXTS)]
    expected_RC = source.logits(chosen)
    model = Model(job.work, FLOAT32, job.stage.threads or 1)
    alone = check_parity(expected_RC, model.logits(chosen, batch_size=1), "one at a time")
    return len(chosen), max(alone, check_parity(expected_RC, model.logits(chosen), "in padded batches"))


class _Runs:
    """Runs exported models over whole splits, reporting how far all of them are."""

    def __init__(self, job: Job, source: ExportSource, planned: Sequence[_Examples]) -> None:
        self._job, self._source, self._num_done = job, source, 0
        self._num_texts = sum(len(examples.texts) for examples in planned)
        self._report()

    def logits(self, file: str, examples: _Examples) -> Array:
        """Return the outputs for a split's texts, in the order of the task's labels."""
        model, parts = Model(self._job.work, file, self._job.stage.threads or 1), []
        for start in range(0, len(examples.texts), _WINDOW):
            parts.append(model.logits(examples.texts[start : start + _WINDOW]))
            self._num_done += len(parts[-1])
            self._report()
        return np.concatenate(parts)[:, self._source.label_order]

    def _report(self) -> None:
        self._job.observer.progress(self._num_done, self._num_texts, "texts")


def _keep(job: Job, spec: ExportSpec, examples: _Examples, logits_RC: Array) -> dict[str, float]:
    """Write the answers of int8 to a split, and return its scores by "split/metric"."""
    name = int8_answers(examples.split)
    write_answers(job.work, name, examples.example_ids_R, examples.labels_R, logits_RC)
    metrics = compute_metrics(spec.metrics, examples.labels_R, logits_RC, job.task.is_regression)
    return {f"{examples.split}/{metric}": value for metric, value in metrics.items()}
