"""SIGKILL at random moments: the same command is repeated until it finishes, and its results are compared."""

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from faults.outcome import Outcome
from faults.workspaces import finish, kill, read_result, start, write_workspace


def kill_at_random(
    root: Path,
    count: int,
    seed: int,
    log: Callable[[str], None] = lambda _: None,
    arguments: Sequence[str] = (),
) -> Outcome:
    """Kill a run `count` times, restart it after each kill, and compare with a run without faults.

    Args:
        root: An empty folder.
        count: Total number of kills; when a run finishes between kills, the next one starts in a new workspace.
        seed: Seed of the random moments.
        log: Called with each line of progress.
        arguments: Added to the command.
    """
    model = root / "model"
    begin = time.monotonic()
    reference = write_workspace(root / "reference", model)
    finish(reference, model, *arguments)
    seconds = time.monotonic() - begin
    expected = read_result(reference)
    rng, outcome = random.Random(seed), Outcome("SIGKILL at a random moment")
    num_workspaces = 0
    while outcome.injected < count:
        num_workspaces += 1
        workspace = write_workspace(root / f"killed-{num_workspaces}", model)
        while outcome.injected < count:
            process = start(workspace, model, *arguments)
            # Imports and the server's start take the first seconds: some kills belong there, most of them later.
            time.sleep(rng.triangular(0.0, seconds, 0.75 * seconds))
            if not kill(process):
                break
            outcome.injected += 1
            log(f"kill {outcome.injected} of {count}")
        try:
            finish(workspace, model, *arguments)
        except AssertionError as error:
            outcome.add_lost(f"{workspace.name}: {str(error)[-300:]}")
            continue
        if differences := expected.differences(read_result(workspace)):
            outcome.add_lost(f"{workspace.name}: {', '.join(differences[:3])}")
    return outcome
