"""`make faults`: does the faults, and prints how many were done, survived and lost."""

import argparse
import sys
import tempfile
from pathlib import Path

from faults.damage import damage_everything
from faults.kills import kill_at_random
from faults.together import run_together


def main() -> None:
    """Do the faults in a folder of their own; end with status 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        tallies = [
            damage_everything(root / "damage", every=1),
            run_together(root / "together", 3),
            kill_at_random(
                root / "kills", arguments.kills, arguments.seed, lambda text: print(text, flush=True)
            ),
        ]
    print("| fault | injected | survived | lost |\n|---|---|---|---|")
    for tally in tallies:
        print(
            f"| {tally.name} | {tally.injected} | {tally.injected - tally.lost} | {tally.lost} |{tally.details}"
        )
    sys.exit(any(tally.lost for tally in tallies))


if __name__ == "__main__":
    main()
