"""Several runs at once in one workspace, one of them killed: each stage is computed once, and nobody waits in vain."""

import time
from pathlib import Path

from faults.tally import Tally
from faults.workspaces import finish, kill, make_workspace, result, start


def run_together(root: Path, num_processes: int) -> Tally:
    """Start runs of the same at once, kill the first when a training is under way, and wait for the others.

    Args:
        root: An empty folder.
        num_processes: How many, at least two.
    """
    model = root / "model"
    undisturbed = make_workspace(root / "undisturbed", model)
    finish(undisturbed, model)
    shared = make_workspace(root / "shared", model)
    processes = [start(shared, model) for _ in range(num_processes)]
    deadline = time.monotonic() + 120
    while not list(shared.glob("artifacts/Tiny/.work/*.holder")) and time.monotonic() < deadline:
        time.sleep(0.1)
    tally = Tally(f"{num_processes} runs at once, one killed", injected=int(kill(processes[0])))
    statuses = [process.wait(timeout=600) for process in processes[1:]]
    different = result(undisturbed).differences(result(shared))
    if any(statuses) or different:
        tally.lose(f"ended with {statuses}, {', '.join(different[:3])}")
    return tally
