"""How a compressed classifier is used, as lines to paste; paths are those of the folder that the page is in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from pkd_core.report.compression.content import Compression

_TEXTS = ("some text", "another text")


@dataclass(frozen=True)
class Usage:
    """One way, and the lines of it.

    Attributes:
        title: What it needs and where it runs.
        language: Of the lines, for Markdown.
        lines: To paste as they are.
    """

    title: str
    language: str
    lines: str


def usages(compression: Compression) -> list[Usage]:
    """Return the ways of using the chosen student, those without torch first if it was exported."""
    exported = compression.find("student", "onnx-float32") is not None
    return [*(_without_torch(compression) if exported else ()), _transformers(compression)]


def _without_torch(compression: Compression) -> Iterator[Usage]:
    texts = _TEXTS[: len(compression.text_columns)]
    typed = "\\t".join(texts)
    argument = f'"{texts[0]}"' if len(texts) == 1 else f"$'{typed}'"
    yield Usage(
        "Without torch and pkd: onnxruntime, tokenizers and numpy",
        "bash",
        f"pip install onnxruntime tokenizers numpy\npython bundle/predict.py {argument}\n"
        "python bundle/predict.py --json < texts.txt",
    )
    yield Usage(
        "The same from Python",
        "python",
        'import sys\n\nsys.path.insert(0, "bundle")\nfrom predict import Model\n\n'
        f'print(Model("bundle").predict([{_example(texts)}]))',
    )
    yield Usage("On the command line", "bash", f"pkd predict bundle {' '.join(map(_quoted, texts))}")
    body = json.dumps({"inputs": [texts[0] if len(texts) == 1 else list(texts)]})
    yield Usage(
        "As a service, from MLflow",
        "bash",
        "export MLFLOW_TRACKING_URI=sqlite:///artifacts/mlflow.db\n"
        f"mlflow models serve --env-manager local --port 5001 --model-uri {_registered(compression)}\n"
        f"curl http://127.0.0.1:5001/invocations -H 'Content-Type: application/json' -d '{body}'",
    )


def _transformers(compression: Compression) -> Usage:
    texts = _TEXTS[: len(compression.text_columns)]
    example = repr(texts[0]) if len(texts) == 1 else repr({"text": texts[0], "text_pair": texts[1]})
    every = ", top_k=None" if compression.is_multi_label else ""
    return Usage(
        "With transformers",
        "python",
        "from transformers import pipeline\n\n"
        f'classify = pipeline("text-classification", "transformers"{every})\n'
        f"print(classify({example}, truncation=True, max_length={compression.data.max_length}))",
    )


def _registered(compression: Compression) -> str:
    return f"models:/pkd-{compression.task}-{compression.student.num_layers}l-onnx@newest"


def _example(texts: tuple[str, ...]) -> str:
    return _quoted(texts[0]) if len(texts) == 1 else f"({', '.join(map(_quoted, texts))})"


def _quoted(text: str) -> str:
    return f'"{text}"'
