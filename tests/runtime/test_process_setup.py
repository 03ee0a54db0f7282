"""Memory that a batch frees is there for the next one."""

import subprocess
import sys
from pathlib import Path

import pytest

# Batches of 8,192 tokens, whose largest block takes 33 MB; a stage is computed in a thread, as Prefect does it.
_EXTRACTIONS = """
import resource, sys, threading
from pathlib import Path
import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification
from pkd_core.data.token_table import TokenTable
from pkd_core.teacher_states import extraction
from pkd_core.runtime.process_setup import keep_freed_memory
from pkd_core.runtime.observer import LogObserver

folder, is_kept = Path(sys.argv[1]), sys.argv[2] == "kept"
if is_kept:
    keep_freed_memory()
NUM_ROWS, LENGTH = 512, 64
table = TokenTable(
    np.arange(NUM_ROWS),
    np.arange(NUM_ROWS + 1) * LENGTH,
    np.ones(NUM_ROWS * LENGTH, np.int32),
    np.ones(NUM_ROWS, np.int32),
    None,
)
config = BertConfig(
    vocab_size=10, hidden_size=256, num_hidden_layers=3, num_attention_heads=4, intermediate_size=1024
)
model = BertForSequenceClassification(config)

def pages(name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    extraction.extract(model, table, folder / name, "float16", LogObserver(name), device=torch.device("cpu"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def extract_twice():
    pages("first")
    print(pages("second") * resource.getpagesize())

thread = threading.Thread(target=extract_twice)
thread.start()
thread.join()
"""


def _bytes_cleared(folder: Path, how: str) -> int:
    ended = subprocess.run(
        [sys.executable, "-c", _EXTRACTIONS, str(folder), how],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return int(ended.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is not glibc")
def test_extraction_reuses_what_its_batches_free(tmp_path: Path) -> None:
    kept, as_it_comes = _bytes_cleared(tmp_path / "a", "kept"), _bytes_cleared(tmp_path / "b", "as it comes")
    # Small blocks in between break the freed ones up at first; over more batches, nearly all are reused.
    assert kept < 0.6 * as_it_comes
