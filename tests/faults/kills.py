"""SIGKILL at random moments, the same command again until it is done, and everything compared."""

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from faults.tally import Tally
from faults.workspaces import finish, kill, make_workspace, result, start


def kill_at_random(
    root: Path, count: int, seed: int, say: Callable[[str], None] = lambda _: None, words: Sequence[str] = ()
) -> Tally:
    """Kill a run `count` times, each time beginning again, and compare with a run that nobody disturbed.

    Args:
        root: An empty folder.
        count: Kills in all; whenever the run gets done between them, another workspace is begun.
        seed: Of the moments.
        say: Is told of progress.
        words: Added to the command.
    """
    model = root / "model"
    begin = time.monotonic()
    undisturbed = make_workspace(root / "undisturbed", model)
    finish(undisturbed, model, *words)
    seconds = time.monotonic() - begin
    expected = result(undisturbed)
    rng, tally = random.Random(seed), Tally("SIGKILL at a random moment")
    number = 0
    while tally.injected < count:
        number += 1
        workspace = make_workspace(root / f"killed-{number}", model)
        while tally.injected < count:
            process = start(workspace, model, *words)
            # Most of the first seconds go into imports and the server: some kills belong there, most of them later.
            time.sleep(rng.triangular(0.0, seconds, 0.75 * seconds))
            if not kill(process):
                break
            tally.injected += 1
            say(f"kill {tally.injected} of {count}")
        try:
            finish(workspace, model, *words)
        except AssertionError as error:
            tally.lose(f"{workspace.name}: {str(error)[-300:]}")
            continue
        if different := expected.differences(result(workspace)):
            tally.lose(f"{workspace.name}: {', '.join(different[:3])}")
    return tally
