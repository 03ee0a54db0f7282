"""A compression from a notebook: one call, without Prefect and MLflow, and the student that came of it."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pkd_core.config.compress import CompressConfig, build_compress_config
from pkd_core.config.overrides import build_run_options, fields_of, validated
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import ConfigError, ModelError, quoted
from pkd_core.evaluation.text_answers import TextModel, answer
from pkd_core.own_data.request import DataRequest
from pkd_core.pipeline.bundles import model_path
from pkd_core.pipeline.compress import run_compression
from pkd_core.pipeline.compress_data import bring_named_data, find_data
from pkd_core.pipeline.compress_output import hand_over
from pkd_core.pipeline.compress_plan import find_compression
from pkd_core.pipeline.compress_values import compress_command, recorded_values
from pkd_core.pipeline.growing_record import GrowingRecord
from pkd_core.pipeline.local import build_stages
from pkd_core.pipeline.plan import Plan
from pkd_core.pipeline.text_models import open_text_model
from pkd_core.pipeline.trained import describe_trained
from pkd_core.report.compression.verdict import Verdict
from pkd_core.report.compression.write import PAGE, TABLE, read_verdict
from pkd_core.runtime.process_setup import configure_process
from pkd_core.store.address import StageRecord
from pkd_core.store.attached import attach
from pkd_core.store.catalog import local_copy
from pkd_core.store.os_errors import file_errors
from pkd_core.store.output_folder import check_output

_PARTS = (DataRequest, CompressConfig, RunOptions)


@dataclass(frozen=True)
class CompressionResult:
    """What `compress` has made; a notebook shows it as its table.

    Attributes:
        task: Name of the task in data_raw that the data have become.
        table: Teacher and student in each format: scores, sizes and latencies, as text.
        verdict: Whether it paid, in sentences.
        student: Folder of the chosen student, in transformers' files.
        bundle: Folder of the same in ONNX, with all that a machine without torch needs.
        page: The whole comparison, as a file for a browser.
    """

    task: str
    table: str
    verdict: Verdict
    student: Path
    bundle: Path
    page: Path

    def __str__(self) -> str:
        """Return the table and the verdict."""
        verdict = self.verdict
        sentences = (verdict.had, verdict.have, verdict.cost, *verdict.objections, *verdict.remarks)
        return "\n".join([self.table, *sentences])

    def _repr_html_(self) -> str:
        """Return the same for a notebook."""
        return f"<pre>{html.escape(str(self))}</pre>"


class Student:
    """A trained classifier that answers texts.

    Args:
        model: What computes its outputs.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model

    def predict(self, texts: Sequence[str | Sequence[str]]) -> list[dict[str, Any]]:
        """Return an answer for each text.

        Args:
            texts: Strings; pairs of strings for a classifier of two texts.

        Returns:
            "label", its "probability" and the "probabilities" by label; of a classifier that gives several labels,
            "labels" and "probabilities"; of one that gives a score, "score".

        Raises:
            ConfigError: One text is given in place of a list.
        """
        if isinstance(texts, str):
            raise ConfigError(
                f"predict takes a list of texts, got the text {quoted(texts)}; put it into a list."
            )
        examples = [(text,) if isinstance(text, str) else tuple(text) for text in texts]
        answers: list[dict[str, Any]] = []
        for one in answer(self._model, examples) if examples else []:
            if one.score is not None:
                answers.append({"score": one.score})
            elif self._model.kind == "multi-label":
                answers.append({"labels": list(one.labels), "probabilities": dict(one.probabilities)})
            else:
                ((label, probability),) = one.labels.items()
                values = {"label": label, "probability": probability}
                answers.append({**values, "probabilities": dict(one.probabilities)})
        return answers


def compress(
    data: str | Path,
    *,
    teachers: Sequence[str | Path] = (),
    student_layers: int | None = None,
    latency_ms: float | None = None,
    out: str | Path | None = None,
    workspace: str | Path = ".",
    settings: Mapping[str, Any] = MappingProxyType({}),
    **further: Any,
) -> CompressionResult:
    """Make a small, fast classifier from texts with labels, as `pkd compress` does, in this process.

    What was computed before in the same workspace is found, and not computed again: a call that was interrupted
    continues where it was.

        from pkd_core import compress, load_student

        result = compress("reviews.csv", student_layers=3, out="small")
        print(result)
        load_student("small").predict(["What a film!"])

    Args:
        data: A file of texts and labels, or the name of a task in data_raw.
        teachers: Your fine-tuned classifier, by folder or hub name; without one, one is fine-tuned.
        student_layers: Layers of the student.
        latency_ms: In place of these, the milliseconds that 99 of 100 of your texts may take.
        out: Folder for copies of what you deploy.
        workspace: Folder that holds data_raw, data_feat and artifacts; or the URL of a place that several machines
            share, such as "s3://bucket/prefix".
        settings: Settings by dotted key, such as {"student.num_epochs": 5}.
        further: What else `pkd compress` takes, by its name in a run's TOML file, such as label="stars" or
            texts=["title", "body"].

    Raises:
        PkdError: Something was given that cannot be used, or a stage failed; the message is a sentence that says which.
    """
    given = {
        "teachers": tuple(map(str, teachers)),
        "student_layers": student_layers,
        "latency_ms": latency_ms,
    }
    values = {"data": str(data), "settings": dict(settings)} | given | further
    # A single column may be given by its name alone.
    values |= {name: [values[name]] for name in ("texts", "label") if isinstance(values.get(name), str)}
    known = [name for part in _PARTS for name in part.model_fields]
    for name in further:
        if name not in known:
            raise ConfigError(f"compress has no argument {quoted(name)}; it takes {', '.join(known)}.")
    folder = attach(workspace) if isinstance(workspace, str) and "://" in workspace else Path(workspace)
    return _compress(values, folder, None if out is None else Path(out))


def _compress(values: Mapping[str, Any], workspace: Path, out: Path | None) -> CompressionResult:
    options = build_run_options(**fields_of(RunOptions, values))
    config = build_compress_config(**fields_of(CompressConfig, values))
    request = validated(DataRequest, fields_of(DataRequest, values))
    if out is not None:
        check_output(out)
    configure_process()
    bring_named_data(workspace, str(request.data))
    found = find_data(request, workspace / "data_raw", config.teachers, options.device)
    run = find_compression(
        config, found.task, workspace, options.device, options.deep, compress_command(request, config)
    )
    with GrowingRecord(workspace, recorded_values(found.task, request, config)) as record:

        def build(plan: Plan, known: Mapping[str, StageRecord]) -> dict[str, StageRecord]:
            record.add(plan)
            return build_stages(plan, options, known=known)

        outcome = run_compression(run, build)
    if out is not None:
        hand_over(workspace, outcome, out)
    card = local_copy(workspace / outcome.folder(outcome.final.card))
    with file_errors("read", card):
        table = (card / TABLE).read_text(encoding="utf-8")
    student, bundle = (
        local_copy(workspace / outcome.folder(stage)) for stage in (outcome.student, outcome.final.export)
    )
    return CompressionResult(found.task, table, read_verdict(card), student, bundle, card / PAGE)


def load_student(folder: str | Path, device: str = "cpu") -> Student:
    """Load a classifier that pkd has made, to answer texts with it.

    Args:
        folder: An output folder of `pkd compress`, its `transformers` or `bundle`, or any published model.
        device: Where torch computes.

    Raises:
        ModelError: There is no classifier in the folder.
    """
    path = model_path(str(folder))
    if path is None:
        raise ModelError(
            f"there is no classifier in {folder}; give the folder of --out, or one with a config.json or a bundle.json."
        )
    return Student(open_text_model(describe_trained(path), device))
