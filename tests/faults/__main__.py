"""`make faults`: does the faults, and prints how many were done, survived and lost."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from faults.damage import damage_everything
from faults.inputs import feed_bad_inputs
from faults.kills import kill_at_random
from faults.shortage_kinds import SHORTAGES
from faults.shortages import run_short
from faults.tally import Tally
from faults.together import run_together


def main() -> None:
    """Do the faults in a folder of their own; end with status 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--inputs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begin = time.monotonic()

    def show(text: str) -> None:
        print(f"{time.monotonic() - begin:6.0f} s  {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        tallies = [feed_bad_inputs(root / "inputs", arguments.inputs, show)]
        show("damage to every published file")
        tallies.append(damage_everything(root / "damage", every=1))
        show("three at once")
        tallies.append(run_together(root / "together", 3))
        tallies.append(run_together(root / "sharing", 3, "--share", "2"))
        tallies += run_short(root / "short", SHORTAGES, show)
        tallies.append(kill_at_random(root / "kills", arguments.kills, arguments.seed, show))
    _show(tallies)
    sys.exit(any(tally.lost for tally in tallies))


def _show(tallies: list[Tally]) -> None:
    print("| fault | injected | survived | lost |\n|---|---|---|---|")
    for tally in tallies:
        kept = tally.injected - tally.lost
        print(f"| {tally.name} | {tally.injected} | {kept} | {tally.lost} |{tally.details}")


if __name__ == "__main__":
    main()
