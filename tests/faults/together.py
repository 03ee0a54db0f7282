"""Several runs at once in one workspace, one of them killed: each stage is computed once, and nobody waits in vain."""

import time
from pathlib import Path

from faults.tally import Tally
from faults.workspaces import finish, kill, make_workspace, result, said_by, start


def run_together(root: Path, num_processes: int, *words: str) -> Tally:
    """Start runs of the same at once, kill the first when a training is under way, and wait for the others.

    Args:
        root: An empty folder.
        num_processes: How many, at least two.
        words: Added to the command.
    """
    model = root / "model"
    undisturbed = make_workspace(root / "undisturbed", model)
    finish(undisturbed, model, *words)
    shared = make_workspace(root / "shared", model)
    processes = [start(shared, model, *words) for _ in range(num_processes)]
    deadline = time.monotonic() + 120
    while not list(shared.glob("artifacts/Tiny/.work/*.holder")) and time.monotonic() < deadline:
        time.sleep(0.1)
    tally = Tally(
        " ".join([f"{num_processes} runs at once, one killed", *words]), injected=int(kill(processes[0]))
    )
    statuses = [process.wait(timeout=600) for process in processes[1:]]
    different = result(undisturbed).differences(result(shared))
    if any(statuses) or different:
        said = said_by(shared).read_text(encoding="utf-8", errors="replace")
        told = [line for line in said.splitlines() if line.startswith("pkd: ")]
        tally.lose(f"ended with {statuses}, {', '.join(different[:3])}: {' '.join(told)}")
    return tally
