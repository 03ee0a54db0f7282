"""Time of tokenising TSV to Parquet, relative to the tokenizer alone on the same texts."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from transformers import AutoTokenizer

from benchmarks.measure import Row, compare
from benchmarks.pkd_training import Stopwatch
from flows.demo_data import DEMO_TASK, write_demo_task
from flows.demo_model import write_demo_model
from pkd_core.data.glue import load_task
from pkd_core.data.tokenize import write_tokens

_NUM_TRAIN = 150_000


def measure_tokenizing(turns: int) -> Iterator[Row]:
    """Yield the ratios for the demo's sentences with their own vocabulary, and for the same sentences five per row."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        data_raw, model = root / "data_raw", root / "model"
        write_demo_task(data_raw, 0, _NUM_TRAIN, 100, 100, 100)
        write_demo_model(model, 0, num_sentences=64, num_epochs=1)
        backend = AutoTokenizer.from_pretrained(model).backend_tokenizer
        backend.enable_truncation(128)
        task = load_task(DEMO_TASK, data_raw)
        for kind, sentences_per_row in (("sentences", 1), ("paragraphs", 5)):
            train = data_raw / DEMO_TASK / "train.tsv"
            header, *lines = train.read_text(encoding="utf-8").splitlines()
            column = header.split("\t").index("sentence")
            if sentences_per_row > 1:
                groups = [
                    lines[start : start + sentences_per_row]
                    for start in range(0, len(lines), sentences_per_row)
                ]
                lines = [_merge(group, column) for group in groups]
                train.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
            texts = [line.split("\t")[column] for line in lines]

            def tokenizer_seconds(texts: list[str] = texts) -> float:
                begin = time.perf_counter()
                for start in range(0, len(texts), 1024):
                    backend.encode_batch_fast(texts[start : start + 1024])
                return time.perf_counter() - begin

            def pkd_seconds() -> float:
                with tempfile.TemporaryDirectory() as work:
                    begin = time.perf_counter()
                    write_tokens(Path(work), data_raw, task, model, 128, Stopwatch())
                    return time.perf_counter() - begin

            yield compare(
                f"{kind}: tokenizer alone / pkd", ">= 0.9", tokenizer_seconds, pkd_seconds, turns, "s"
            )


def _merge(group: list[str], column: int) -> str:
    """Return one line with the sentences of all lines, and the other fields of the first."""
    rows = [line.split("\t") for line in group]
    merged = list(rows[0])
    merged[column] = " ".join(row[column] for row in rows)
    return "\t".join(merged)
