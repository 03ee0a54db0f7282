"""`make mutants`: puts one small fault at a time into pkd_core, and lists those that no default test notices."""

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from mutation import mutants

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "method",
    "model",
    "training",
    "teacher_states",
    "evaluation",
    "store",
    "pipeline",
    "report",
)
STATUSES = ("killed", "survived", "no tests", "timeout", "segfault", "suspicious")
UNNOTICED = ("survived", "no tests")


def main() -> None:
    """Mutate what the command line names, and print survivors as they are found and a table at the end."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--package", action="append", help="of pkd_core, or a file; default: eight packages")
    parser.add_argument("--every", type=int, default=1, help="try every n-th mutant")
    parser.add_argument(
        "--seconds", type=float, default=20, help="of other packages' tests that a mutant gets"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes that run tests")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    targets = [_as_path(name) for name in arguments.package or PACKAGES]
    tests = [f"tests/{package}" for package in PACKAGES]
    shutil.rmtree("mutants", ignore_errors=True)
    start = time.monotonic()
    found = mutants.prepare(targets, tests, arguments.jobs)
    sample = found[:: arguments.every]
    print(
        f"{len(found)} mutants, {len(sample)} of them to try ({time.monotonic() - start:.0f} s)", flush=True
    )
    results: Counter[tuple[str, str]] = Counter()
    start = time.monotonic()
    try:
        for mutant, status in mutants.run(sample, arguments.jobs, arguments.seconds):
            results[mutant.package, status] += 1
            if status in UNNOTICED:
                print(f"\n{status}: {mutants.describe(mutant)}", flush=True)
    except KeyboardInterrupt:
        print("\nstopped; what was tried until now:")
    _print_table(results, time.monotonic() - start)


def _as_path(name: str) -> Path:
    path = Path(name) if name.endswith(".py") else Path("pkd_core", name)
    if not path.exists():
        sys.exit(f"make mutants needs a package of pkd_core or a file, and there is no {path}")
    return path


def _print_table(results: Counter[tuple[str, str]], seconds: float) -> None:
    print(f"\n{'package':16}" + "".join(f"{status:>12}" for status in (*STATUSES, "noticed")))
    packages = sorted({package for package, _ in results})
    for name, members in [*((package, [package]) for package in packages), ("all", packages)]:
        counts = [sum(results[package, status] for package in members) for status in STATUSES]
        noticed = 1 - sum(sum(results[package, status] for package in members) for status in UNNOTICED) / max(
            sum(counts), 1
        )
        print(f"{name:16}" + "".join(f"{count:12}" for count in counts) + f"{noticed:11.1%}")
    num_tried = sum(results.values())
    print(f"{seconds:.0f} s, {seconds / max(num_tried, 1):.1f} s a mutant")


if __name__ == "__main__":
    main()
