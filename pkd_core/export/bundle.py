"""A bundle: a folder with an ONNX model, its tokenizer, its labels and the program that answers texts with them."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from pkd_core.data.task import Task
from pkd_core.errors import ModelError
from pkd_core.evaluation.text_answers import Kind
from pkd_core.export import bundle_predict
from pkd_core.export.onnx_files import export_onnx, load_own_tokenizer

PREDICT, SETTINGS, TOKENIZER = "predict.py", "bundle.json", "tokenizer.json"


@dataclass(frozen=True)
class Bundle:
    """What a bundle's program knows of its model, besides the files.

    Attributes:
        labels: Names of the outputs.
        text_columns: Names of the one or two texts.
        max_length: Tokens kept of an example.
        kind: Whether a text gets one label, several or none, or a score.
    """

    labels: tuple[str, ...]
    text_columns: tuple[str, ...]
    max_length: int
    kind: Kind

    @classmethod
    def of(cls, task: Task, max_length: int) -> "Bundle":
        """Return the settings of a model of a task."""
        kind: Kind = "multi-label" if task.multi_label else "regression" if task.is_regression else "classes"
        return cls(task.labels or ("score",), task.text_columns, max_length, kind)

    @classmethod
    def read(cls, folder: Path) -> "Bundle":
        """Return the settings of a published bundle."""
        values = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return cls(
            tuple(values["labels"]), tuple(values["text_columns"]), values["max_length"], values["kind"]
        )


def write_bundle(model_folder: Path, out: Path, bundle: Bundle, inputs: tuple[str, ...]) -> None:
    """Write `tokenizer.json`, `bundle.json` and `predict.py` beside an exported model.

    Args:
        model_folder: The classifier with its tokenizer.
        out: Where `export_onnx` has written.
        bundle: What the program knows of the model.
        inputs: Names of the model's inputs, as `export_onnx` returns them.

    Raises:
        ModelError: The folder has no fast tokenizer, or one without a token for padding.
    """
    tokenizer = load_own_tokenizer(model_folder)
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"{model_folder}: expected a tokenizer with a token for padding, got none; set pad_token"
        )
    backend = tokenizer.backend_tokenizer
    # Many files say "pad to 128": each short text would cost 128 tokens.
    backend.no_padding()
    backend.enable_truncation(
        bundle.max_length, strategy="longest_first", direction=tokenizer.truncation_side
    )
    backend.save(str(out / TOKENIZER))
    settings = asdict(bundle) | {"inputs": inputs, "pad_id": tokenizer.pad_token_id}
    (out / SETTINGS).write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.copyfile(bundle_predict.__file__, out / PREDICT)


def export_bundle(
    model_folder: Path, out: Path, bundle: Bundle, inputs: tuple[str, ...] | None = None
) -> None:
    """Write a classifier as a bundle in float32; `quantize` adds int8.

    Args:
        model_folder: An encoder classifier of transformers with its tokenizer.
        out: An existing folder.
        bundle: What the program knows of the model.
        inputs: See `export_onnx`.

    Raises:
        ConfigError: A package of the extra "export" is missing.
        ModelError: The classifier cannot be exported.
    """
    names = export_onnx(model_folder, out, len(bundle.text_columns), inputs)
    write_bundle(model_folder, out, bundle, names)
