"""`make faults`: injects faults of every kind, and prints how many were injected, survived and lost."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from faults.concurrent_runs import kill_one_of_concurrent_runs
from faults.damage import damage_published_files
from faults.each_operation import kill_at_each_operation
from faults.inputs import check_malformed_inputs
from faults.kills import kill_at_random
from faults.outcome import Outcome
from faults.shortage_kinds import SHORTAGES
from faults.shortages import inject_shortages


def main() -> None:
    """Inject the faults in a temporary folder; exit with status 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--inputs", type=int, default=3000)
    parser.add_argument("--every", type=int, default=3, help="kill at every n-th operation of a run")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begin = time.monotonic()

    def log(text: str) -> None:
        print(f"{time.monotonic() - begin:6.0f} s  {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        outcomes = [check_malformed_inputs(root / "inputs", arguments.inputs, log)]
        log("damage to every published file")
        outcomes.append(damage_published_files(root / "damage", every=1))
        outcomes.append(kill_at_each_operation(root / "operations", arguments.every, log))
        log("three concurrent runs")
        outcomes.append(kill_one_of_concurrent_runs(root / "concurrent", 3))
        outcomes += inject_shortages(root / "shortages", SHORTAGES, log)
        outcomes.append(kill_at_random(root / "kills", arguments.kills, arguments.seed, log))
    _print_table(outcomes)
    sys.exit(any(outcome.lost for outcome in outcomes))


def _print_table(outcomes: list[Outcome]) -> None:
    print("| fault | injected | survived | lost |\n|---|---|---|---|")
    for one in outcomes:
        print(f"| {one.name} | {one.injected} | {one.survived} | {one.lost} |{one.details}")


if __name__ == "__main__":
    main()
