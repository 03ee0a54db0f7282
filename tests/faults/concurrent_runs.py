"""Several concurrent runs in one workspace, one of them killed: the others compute each stage once and finish."""

import time
from pathlib import Path

from faults.outcome import Outcome
from faults.workspaces import finish, kill, output_file, read_result, start, write_workspace


def kill_one_of_concurrent_runs(root: Path, num_processes: int) -> Outcome:
    """Start identical runs, kill the first during a training, and wait for the others.

    Args:
        root: An empty folder.
        num_processes: Number of runs, at least two.
    """
    model = root / "model"
    reference = write_workspace(root / "reference", model)
    finish(reference, model)
    shared = write_workspace(root / "shared", model)
    processes = [start(shared, model) for _ in range(num_processes)]
    deadline = time.monotonic() + 120
    while not list(shared.glob("artifacts/Tiny/.work/*.holder")) and time.monotonic() < deadline:
        time.sleep(0.1)
    outcome = Outcome(f"{num_processes} concurrent runs, one killed", injected=int(kill(processes[0])))
    statuses = [process.wait(timeout=600) for process in processes[1:]]
    differences = read_result(reference).differences(read_result(shared))
    if any(statuses) or differences:
        output = output_file(shared).read_text(encoding="utf-8", errors="replace")
        errors = [line for line in output.splitlines() if line.startswith("pkd: ")]
        outcome.add_lost(f"exit statuses {statuses}, {', '.join(differences[:3])}: {' '.join(errors)}")
    return outcome
