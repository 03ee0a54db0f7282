"""Plans the searches of all GLUE tasks, simulates them, and prints the tables of docs/scaling.md."""

import argparse
import tempfile
from pathlib import Path

from benchmarks.simulation.jobs import Assumptions
from benchmarks.simulation.planned_search import plan_search, write_inputs
from benchmarks.simulation.runs import (
    GPUS,
    draw,
    simulate,
    table_of_demand,
    table_of_runs,
    table_of_variants,
)
from pkd_core.data.glue import GLUE_TASKS


def main() -> None:
    """Print the tables, and draw the picture where it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("--seeds", default="1,2,3", help="seeds of each point")
    parser.add_argument("--student-layers", default="3,6", help="depths, each a search of its own")
    parser.add_argument("--picture", type=Path, help="a PNG file to draw the first table into")
    asked = parser.parse_args()
    seeds, depths = ([int(one) for one in text.split(",")] for text in (asked.seeds, asked.student_layers))
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name))
        searches = [plan_search(Path(name), task, depth, seeds) for task in GLUE_TASKS for depth in depths]
    num_stages = len({stage.address for search in searches for stage in search.stages})
    seconds = [sum(one.seconds for one in search.rounds) for search in searches]
    print(f"{len(searches)} searches, {num_stages:,} stages, planned in {max(seconds):.1f} s each at most\n")
    runs = list(simulate(searches, Assumptions(), GPUS))
    print(table_of_runs(runs), table_of_variants(searches), table_of_demand(searches), sep="\n\n")
    if asked.picture:
        draw(runs, asked.picture)


if __name__ == "__main__":
    main()
