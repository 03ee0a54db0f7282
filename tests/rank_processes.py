"""Trainings in several processes of a test: each runs a function of its module, given its rank and its group."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import torch

from pkd_core.runtime.process_group import join


def run_ranks(function: str, size: int, folder: Path) -> None:
    """Run "module.function" in so many processes, with one thread each, as function(group, folder)."""
    command = [sys.executable, "-m", "rank_processes", function]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(size), str(folder)], env=environment, stderr=subprocess.PIPE
        )
        for rank in range(size)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=1200)
        assert process.returncode == 0, errors.decode()


if __name__ == "__main__":
    name, rank, size, folder = sys.argv[1:]
    torch.set_num_threads(1)
    module, function = name.rsplit(".", 1)
    group = join(int(rank), int(size), Path(folder, "meeting"), torch.device("cpu"))
    getattr(importlib.import_module(module), function)(group, Path(folder))
