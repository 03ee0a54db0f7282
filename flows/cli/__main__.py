"""The console script `pkd`: names the extra to install where the pipeline's packages are missing."""

import sys
from importlib.util import find_spec

# Distinctive members of the extra `pipeline`: looked up, not imported, so that `pkd --help` stays fast.
_NEEDED = ("prefect", "mlflow")


def main() -> None:
    """Run the command line, or end with one sentence and exit status 2 where it cannot run."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"pkd: the command line needs {' and '.join(missing)}, which this environment does not have; run "
            "pip install '.[pipeline]' in pkd's source folder, or use pkd_core from Python without them.\n"
        )
        sys.exit(2)
    from flows.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
