"""`make hosts`: runs over several hosts, one of which is lost, beside the run on one host; prints what was measured."""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from cluster.cases import CASES, Measured, measure
from cluster.hosts import missing_for_hosts
from cluster.scenario import run_on_one_host


def main() -> None:
    """Measure the cases one after the other; exit with status 1 if any differs from the run on one host."""
    parser = argparse.ArgumentParser(prog="make hosts", description=__doc__)
    parser.add_argument("--case", choices=CASES, action="append", help="only this one; repeatable")
    parser.add_argument("--keep", type=Path, help="an empty folder to work in, which stays")
    arguments = parser.parse_args()
    if missing := missing_for_hosts():
        sys.exit(f"hosts need {missing}")
    begin = time.monotonic()
    is_well = True
    with tempfile.TemporaryDirectory(prefix="pkd-hosts-") as name:
        folder = arguments.keep or Path(name)
        plain = run_on_one_host(folder / "plain")
        print(f"one process on one host: {plain.seconds:.0f} s, {len(plain.found['stages'])} stages")
        for case in arguments.case or CASES:
            measured = measure(CASES[case], folder / case, plain)
            _print(case, measured)
            is_well = is_well and not measured.wrong
    print(f"{time.monotonic() - begin:.0f} s in all")
    sys.exit(not is_well)


def _print(case: str, measured: Measured) -> None:
    found = measured.seen.found
    print(
        f"{case}: {measured.seconds:.0f} s, again {measured.seconds_again:.0f} s, {len(found['stages'])} stages"
    )
    print(f"  in Prefect {sum(run['total_run_time'] for run in found['task_runs']):.0f} s of task runs")
    print(f"  in MLflow {dict(Counter(run['status'] for run in found['mlflow'].values()))}")
    if measured.loss:
        print(f"  {json.dumps(asdict(measured.loss))}")
    for line in measured.wrong or ["nothing differs from one host"]:
        print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
