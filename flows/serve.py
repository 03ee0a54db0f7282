"""The serving process: registers the deployment `full-glue` and runs what is asked of it, until stopped.

`pkd up` starts it as `python -m flows.serve PARAMETERS`, with the deployment's default parameters as JSON.
"""

import json
import sys
from pathlib import Path

from prefect import flow

DEPLOYMENT = "full-glue"


def serve(parameters: str) -> None:
    """Serve the flow from its source, so that edits count from the next run on.

    Args:
        parameters: The deployment's default parameters, as a JSON object.
    """
    root = Path(__file__).resolve().parent.parent
    served = flow.from_source(source=str(root), entrypoint="flows/pkd.py:pkd")
    served.serve(  # type: ignore[union-attr]
        name=DEPLOYMENT,
        parameters=json.loads(parameters),
        limit=1,
        print_starting_message=False,
        description="Every GLUE task: tokens, teacher, teacher states, students, evaluations, report.",
    )


if __name__ == "__main__":
    serve(sys.argv[1])
