"""Only `configure_process` changes what belongs to the whole process, and what it sets is worth it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import write_tiny_model, write_tiny_task

_STATE = """
import json, os, random, sys
from pathlib import Path
import numpy as np, torch
from transformers.utils import logging

def state():
    return [
        torch.backends.cuda.matmul.allow_tf32,
        torch.get_num_threads(),
        torch.random.get_rng_state().tolist(),
        random.getstate()[1][:5],
        np.random.get_state()[1][:5].tolist(),
        logging.get_verbosity(),
        logging.is_progress_bar_enabled(),
        dict(os.environ),
    ]
"""
_LIBRARY = (
    _STATE
    + """
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan

before = state()
root = Path(sys.argv[1])
settings = {"teacher.num_epochs": 1, "student.num_epochs": 1, "speed.max_seconds": 0}
run = build_run_config(tasks=["Tiny"], methods=["pkd-skip"], model=str(root / "model"), settings=settings)
run_plan(make_plan(run, root), RunOptions(checkpoint_minutes=2))
print(before == state())
"""
)
_OWNER = (
    _STATE
    + """
from pkd_core.runtime.process_setup import configure_process

configure_process()
tf32, threads, *_, verbosity, bars, _ = state()
print(json.dumps([tf32, threads, verbosity == logging.ERROR, bars]))
"""
)
# Batches of 8,192 tokens, whose largest block takes 33 MB; a stage is computed in a thread, as Prefect does it.
_EXTRACTIONS = """
import resource, sys, threading
from pathlib import Path
import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification
from pkd_core.data.token_table import TokenTable
from pkd_core.runtime.observer import LogObserver
from pkd_core.runtime.process_setup import configure_process
from pkd_core.teacher_states.extraction import extract

folder = Path(sys.argv[1])
if sys.argv[2] == "configured":
    configure_process()
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
    extract(model, table, folder / name, "float16", LogObserver(name), device=torch.device("cpu"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def extract_twice():
    pages("first")
    print(pages("second") * resource.getpagesize())

thread = threading.Thread(target=extract_twice)
thread.start()
thread.join()
"""


def _run(program: str, *arguments: object, **environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, **environment},
    )
    return ended.stdout.splitlines()[-1]


@pytest.mark.slow
def test_a_plan_run_as_a_library_changes_nothing_of_the_process(tmp_path: Path) -> None:
    write_tiny_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "model")
    assert _run(_LIBRARY, tmp_path) == "True"


def test_the_owner_sets_arithmetic_and_silence_and_leaves_the_threads() -> None:
    cores = os.cpu_count() or 1
    environment = {"OMP_NUM_THREADS": str(cores)}
    assert json.loads(_run(_OWNER, **environment)) == [True, cores, True, False]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is not glibc")
def test_extraction_reuses_what_its_batches_free(tmp_path: Path) -> None:
    configured = int(_run(_EXTRACTIONS, tmp_path / "a", "configured"))
    default = int(_run(_EXTRACTIONS, tmp_path / "b", "default"))
    # Small blocks in between break the freed ones up at first; over more batches, nearly all are reused.
    assert configured < 0.6 * default
