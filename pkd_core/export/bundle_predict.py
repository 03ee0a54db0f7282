"""Answers texts with the classifier in this file's folder.

    python predict.py "a text" "another text"
    python predict.py --json < lines.txt
    some-program | python predict.py

It needs onnxruntime, tokenizers and numpy. In Python: `from predict import Model; Model(folder).predict(["a text"])`.

Shape suffixes: R texts, B texts of a batch, L tokens of the longest of them, C outputs of the model.
"""

import argparse
import io
import json
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from tokenizers import Encoding, Tokenizer

FLOAT32, INT8 = "model.onnx", "model.int8.onnx"
_BATCH_SIZE = 32
_LINES_AT_ONCE = 256
_BYTES_AT_ONCE = 1 << 16

Array = np.ndarray[Any, Any]
# A text, or the two texts of an example.
Text = str | Sequence[str]


class Model:
    """A classifier in ONNX, with its tokenizer and its labels."""

    def __init__(self, folder: str | Path, file: str | None = None, threads: int = 1) -> None:
        """Load the model.

        Args:
            folder: Holds the model, tokenizer.json and bundle.json.
            file: "model.int8.onnx" or "model.onnx"; by default the first of them that is there.
            threads: CPU threads to compute with.

        Raises:
            ModuleNotFoundError: onnxruntime is not installed.
            OSError: A file is missing or cannot be read.
            ValueError: A file is damaged.
        """
        folder = Path(folder)
        settings = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        self.labels: list[str] = settings["labels"]
        self.text_columns: list[str] = settings["text_columns"]
        self.kind: str = settings["kind"]
        self._inputs: list[str] = settings["inputs"]
        self._pad_id: int = settings["pad_id"]
        self._tokenizer = _load_tokenizer(folder / "tokenizer.json")
        name = file or (INT8 if (folder / INT8).exists() else FLOAT32)
        self._batch_size = 1 if name == INT8 else _BATCH_SIZE
        self._session = _load_session(folder / name, threads)

    def logits(self, texts: Sequence[Text], batch_size: int | None = None) -> Array:
        """Return the outputs for each text, shape (R, C), float32.

        Args:
            texts: Strings; pairs of strings for a model of two texts.
            batch_size: Texts of similar length that are computed together. By default 32 in float32, and 1 in int8,
                where the outputs for a text depend on what else is in its batch.

        Raises:
            TypeError: A text is no string, or one of a pair is missing.
        """
        encodings = self._encode(texts)
        order = sorted(range(len(encodings)), key=lambda row: len(encodings[row].ids))
        logits_RC = np.zeros((len(encodings), self._session.get_outputs()[0].shape[1]), dtype=np.float32)
        step = batch_size or self._batch_size
        for start in range(0, len(order), step):
            rows = order[start : start + step]
            batch = pad([encodings[row] for row in rows], self._inputs, self._pad_id)
            logits_RC[rows] = self._session.run(None, batch)[0]
        return logits_RC

    def predict(self, texts: Sequence[Text]) -> list[dict[str, Any]]:
        """Return an answer for each text.

        Returns:
            "label", its "probability" and the "probabilities" by label; of a model that gives several labels or none,
            "labels" (those of at least 0.5) and "probabilities"; of a model that gives a score, "score".

        Raises:
            TypeError: A text is no string, or one of a pair is missing.
        """
        logits_RC = self.logits(texts).astype(np.float64)
        if self.kind == "regression":
            return [{"score": float(score)} for score in logits_RC[:, 0]]
        if self.kind == "multi-label":
            probabilities_RC = 0.5 * (
                1 + np.tanh(0.5 * logits_RC)
            )  # the sigmoid, of any size of its argument
        else:
            exponentials_RC = np.exp(logits_RC - logits_RC.max(axis=1, keepdims=True))
            probabilities_RC = exponentials_RC / exponentials_RC.sum(axis=1, keepdims=True)
        return [self._answer(dict(zip(self.labels, row, strict=True))) for row in probabilities_RC.tolist()]

    def _answer(self, probabilities: dict[str, float]) -> dict[str, Any]:
        if self.kind == "multi-label":
            labels = [label for label, probability in probabilities.items() if probability >= 0.5]
            return {"labels": labels, "probabilities": probabilities}
        label = max(probabilities, key=lambda name: probabilities[name])
        return {"label": label, "probability": probabilities[label], "probabilities": probabilities}

    def _encode(self, texts: Sequence[Text]) -> list[Encoding]:
        if isinstance(texts, str):
            raise TypeError(f"expected a list of texts, got one text: {texts[:60]!r}; put it into a list")
        num_texts = len(self.text_columns)
        examples = [(text,) if isinstance(text, str) else tuple(text) for text in texts]
        for example in examples:
            if len(example) != num_texts or not all(isinstance(text, str) for text in example):
                wanted = "a text" if num_texts == 1 else f"two texts ({' and '.join(self.text_columns)})"
                raise TypeError(f"expected {wanted} for each answer, got {str(example)[:60]}")
        return [self._tokenizer.encode(one[0], one[1] if num_texts == 2 else None) for one in examples]


def pad(encodings: Sequence[Encoding], inputs: Sequence[str], pad_id: int) -> dict[str, Array]:
    """Return a batch as the model's inputs, each of shape (B, L), int64: padded at the end, and no longer than needed.

    Args:
        encodings: The texts' tokens.
        inputs: Any of "input_ids", "attention_mask", "token_type_ids".
        pad_id: The token id of the padding.
    """
    shape = (len(encodings), max(len(one.ids) for one in encodings))
    batch = {name: np.full(shape, pad_id if name == "input_ids" else 0, dtype=np.int64) for name in inputs}
    for row, one in enumerate(encodings):
        values = {"input_ids": one.ids, "attention_mask": one.attention_mask, "token_type_ids": one.type_ids}
        for name in inputs:
            batch[name][row, : len(one.ids)] = values[name]
    return batch


def _load_tokenizer(path: Path) -> Tokenizer:
    text = path.read_text(encoding="utf-8")
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises plain Exception
        raise ValueError(f"{path}: expected a tokenizer, got {error}; copy the folder again") from error


def _load_session(path: Path, threads: int) -> Any:
    import onnxruntime  # optional in pkd, which imports this file too

    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected an ONNX model, got no such file; choose another")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait by spinning slow down whatever else the machine computes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no common type
        raise ValueError(f"{path}: expected an ONNX model, got {error}; copy the folder again") from error


def _examples(texts: Iterable[tuple[str, str]], num_texts: int) -> Iterator[tuple[str, ...]]:
    """Yield the one or two texts of each argument or line, given with its place."""
    for place, text in texts:
        example = tuple(text.split("\t"))
        if len(example) != num_texts:
            wanted = "one text" if num_texts == 1 else "two texts, with a tab between them"
            raise ValueError(f"{place}: expected {wanted}, got {len(example)}")
        if not all(part.strip() for part in example):
            raise ValueError(f"{place}: expected a text, got an empty one; remove it")
        yield example


def _lines(stream: io.BufferedReader) -> Iterator[list[tuple[str, str]]]:
    """Yield the lines of a stream with their places: as many at once as are there, and only the first waits."""
    number, begun, block = 0, b"", b"\n"
    while block:
        block = stream.read1(_BYTES_AT_ONCE)
        *lines, begun = (begun + block).split(b"\n")
        if not block and begun:
            lines.append(begun)
        for start in range(0, len(lines), _LINES_AT_ONCE):
            part = enumerate(lines[start : start + _LINES_AT_ONCE], start=number + start + 1)
            yield [(f"line {place}", _decoded(line, is_first=place == 1)) for place, line in part]
        number += len(lines)


def _decoded(line: bytes, is_first: bool) -> str:
    return line.decode("utf-8-sig" if is_first else "utf-8").rstrip("\r")


def _tsv(answer: dict[str, Any]) -> str:
    """Return label and probability, or the score; several labels are separated by commas."""
    if "score" in answer:
        return f"{answer['score']:.4f}"
    labels = answer["labels"] if "labels" in answer else [answer["label"]]
    shown = [f"{answer['probabilities'][label]:.4f}" for label in labels]
    return f"{', '.join(labels)}\t{', '.join(shown)}"


def _run(arguments: argparse.Namespace) -> None:
    model = Model(Path(__file__).parent, arguments.file, arguments.threads)
    typed = [(f"text {number}", text) for number, text in enumerate(arguments.texts, start=1)]
    is_of_stream = arguments.texts in ([], ["-"])
    for part in _lines(cast(io.BufferedReader, sys.stdin.buffer)) if is_of_stream else [typed]:
        for answer in model.predict(list(_examples(part, len(model.text_columns)))):
            sys.stdout.write(
                (json.dumps(answer, ensure_ascii=False) if arguments.json else _tsv(answer)) + "\n"
            )
        sys.stdout.flush()


def main() -> int:
    """Answer the command line's texts or those of standard input; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="predict.py", description="Label texts with the model in this folder."
    )
    parser.add_argument(
        "texts", nargs="*", help="texts (two have a tab between them); default, or -: lines of standard input"
    )
    parser.add_argument("--json", action="store_true", help="write each answer as a JSON object")
    parser.add_argument("--file", choices=(INT8, FLOAT32), help=f"the model; default: {INT8} if it is there")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    arguments = parser.parse_args()
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `predict.py | head` ends without an error
    try:
        _run(arguments)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"predict.py needs {error.name}: pip install onnxruntime tokenizers numpy\n")
        return 2
    except (OSError, ValueError) as error:
        sys.stderr.write(f"predict.py: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
