"""The name of a flow run: the one that a person has typed, else one that tells runs apart by what they compute."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coolname.data import config as word_lists
from prefect.runtime import flow_run

from pkd_core.config.settings import DEFAULT_METHODS
from pkd_core.errors import shortened

_MAX_LENGTH = 100
# Such as "xi2-galvin" or "omicron3", which the form of Prefect's page suggests.
_SUGGESTED = re.compile(
    "(alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|omicron|pi|rho|sigma|tau|upsilon|phi|"
    r"chi|psi|omega)\d*(-[a-z]+)?"
)


def run_name() -> str:
    """Return the name of the current flow run, for Prefect, which asks before the flow checks its parameters."""
    return _given_name() or describe_run(flow_run.get_parameters())


def compression_name() -> str:
    """Return the same for a compression."""
    return _given_name() or describe_compression(flow_run.get_parameters())


def _given_name() -> str:
    given = str(flow_run.get_name() or "")
    return "" if is_generated(given) else given


def is_generated(name: str) -> bool:
    """Return whether a name is one that Prefect makes up where nobody types one, such as "uptight-toad"."""
    parts = name.split("-")
    return bool(_SUGGESTED.fullmatch(name)) or (len(parts) == 2 and _words().issuperset(parts))


def describe_run(parameters: Mapping[str, Any]) -> str:
    """Return what a run computes: its tasks, and whatever is not the default.

    Args:
        parameters: As they were sent: of any type.
    """
    parts = []
    if parameters.get("methods", DEFAULT_METHODS) not in (DEFAULT_METHODS, list(DEFAULT_METHODS)):
        parts.append(_listed(parameters["methods"]))
    if isinstance(student_model := parameters.get("student_model"), str):
        parts.append(f"students from {Path(student_model).name}")
    if parameters.get("student_layers"):
        parts.append(f"{_listed(parameters['student_layers'])} layers")
    if parameters.get("seeds", (42,)) not in ((42,), [42]):
        parts.append(f"seeds {_listed(parameters['seeds'])}")
    settings = parameters.get("settings")
    if isinstance(settings, Mapping):
        parts += [f"{key}={value}" for key, value in settings.items()]
    tasks = _listed(parameters.get("tasks", ""))
    return shortened(": ".join(filter(None, [tasks, ", ".join(parts)])), _MAX_LENGTH)


def describe_compression(parameters: Mapping[str, Any]) -> str:
    """Return what a compression makes of which data.

    >>> describe_compression({"data": "/data/reviews.csv", "latency_ms": 20})
    'compress reviews.csv: latency_ms=20'

    Args:
        parameters: As they were sent: of any type.
    """
    names = ("student_layers", "latency_ms")
    parts = [f"{name}={parameters[name]}" for name in names if parameters.get(name) is not None]
    teachers = parameters.get("teachers")
    parts += (
        [f"teacher {Path(str(name)).name}" for name in teachers] if isinstance(teachers, list | tuple) else []
    )
    data = f"compress {Path(str(parameters.get('data', ''))).name}"
    return shortened(": ".join(filter(None, [data, ", ".join(parts)])), _MAX_LENGTH)


def _listed(values: object) -> str:
    return " ".join(map(str, values)) if isinstance(values, list | tuple) else str(values)


def _words() -> frozenset[str]:
    """Return every word from which Prefect makes up names."""
    lists: Mapping[str, Any] = word_lists
    return frozenset(word for one in lists.values() if one["type"] == "words" for word in one["words"])
