"""Whether a run over several hosts has left what the run on one host has, once each, and nothing unfinished."""

from collections import defaultdict
from typing import Any

from cluster.scenario import Seen


def differences(plain: Seen, seen: Seen) -> list[str]:
    """Return a line for each thing that is not as it must be.

    Args:
        plain: The run on one host.
        seen: All runs over several hosts, after a last one that had nothing to do.
    """
    return [
        *_of_stages(plain.found["stages"], seen.found["stages"]),
        *_of_task_runs(seen.found["task_runs"], seen.found["flow_runs"]),
        *_of_tracking(plain.found["mlflow"], seen.found["mlflow"]),
    ]


def _of_stages(plain: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    lines = [f"{name}: published by one of the two runs only" for name in sorted(plain.keys() ^ seen.keys())]
    both = sorted(plain.keys() & seen.keys())
    return lines + [f"{name}: other content" for name in both if plain[name] != seen[name]]


def _of_task_runs(task_runs: list[dict[str, Any]], flow_runs: list[str]) -> list[str]:
    ended = ("Completed", "Cached")
    lines = [
        f"Prefect: {run['name']} is {run['state_name']}"
        for run in task_runs
        if run["state_name"] not in ended
    ]
    return lines + [f"Prefect: a flow run is {state}" for state in flow_runs if state != "Completed"]


def _of_tracking(plain: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    lines = [
        f"MLflow: {run['name']} is {run['status']}" for run in seen.values() if run["status"] == "RUNNING"
    ]
    lines += [
        f"MLflow: {run['name']} ({run['status']}) has {run['num_double_points']} points twice"
        for run in seen.values()
        if run["num_double_points"]
    ]
    expected, found = _finished(plain), _finished(seen)
    for fingerprint in sorted(expected.keys() | found.keys()):
        names = {run["name"] for run in (*expected[fingerprint], *found[fingerprint])}
        counts = len(expected[fingerprint]), len(found[fingerprint])
        if counts != (1, 1):
            lines.append(
                f"MLflow: {', '.join(names)} finished {counts[1]} times, on one host {counts[0]} times"
            )
        elif expected[fingerprint][0]["curves"] != found[fingerprint][0]["curves"]:
            lines.append(f"MLflow: {', '.join(names)} has other points")
    return lines


def _finished(runs: dict[str, Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for run in runs.values():
        if run["status"] == "FINISHED":
            found[run["tags"]["fingerprint"]].append(run)
    return found
