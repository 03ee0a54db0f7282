"""Why a stage must be built although one of the same name was built before."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pkd_core.config.settings import DEFAULT_THREADS
from pkd_core.errors import shortened
from pkd_core.pipeline.kinds import CODE_VERSIONS, StageKind
from pkd_core.pipeline.specs import THREADS, ReportSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.store.catalog import Catalog
from pkd_core.store.manifest import Manifest

# Of the changes that a reason names, in characters.
_MAX_LENGTH = 80
# What a configuration leaves out where it is the default.
_DEFAULTS = {THREADS: DEFAULT_THREADS}


def explain_missing(stage: Stage, catalog: Catalog) -> str:
    """Return how a missing stage differs from the newest published one of the same name, in a phrase of one line."""
    address = stage.address
    others = [manifest for _, manifest in catalog.find(address.area, address.task, address.stage)]
    if not others:
        return "not built yet"
    newest = max(others, key=lambda manifest: manifest.created)
    if isinstance(stage.spec, ReportSpec):
        return _changed_report(newest, stage.spec)
    changes = [
        *(
            f"{part} has changed"
            for part, digest in stage.sources.items()
            if newest.inputs.get(part) != digest
        ),
        *_changed_settings(_DEFAULTS | dict(newest.config), _DEFAULTS | stage.config),
    ]
    if newest.code_version != CODE_VERSIONS[stage.kind]:
        changes.append(f"its code is version {CODE_VERSIONS[stage.kind]}, was {newest.code_version}")
    gone = newest.inputs.keys() - stage.sources.keys() - stage.inputs.keys()
    changes += [f"{part} is gone" for part in sorted(gone)]
    if not changes:
        return f"built before from another {' and '.join(stage.inputs)} stage"
    return _first(changes)


def _first(changes: Sequence[str]) -> str:
    """Return as many changes as fit into a line, at least one, and how many more there are."""
    num_shown = 1
    while num_shown < len(changes) and len("; ".join(changes[: num_shown + 1])) <= _MAX_LENGTH:
        num_shown += 1
    rest = len(changes) - num_shown
    return "; ".join(changes[:num_shown]) + (f"; and {rest} more" if rest else "")


def _changed_report(before: Manifest, now: ReportSpec) -> str:
    """Return how a report differs from an earlier one, whose models are the inputs."""
    if before.config.get("failures"):
        return "the last one lacks what had failed"
    presets = before.config["presets"].keys()
    new, gone = len(now.presets.keys() - presets), len(presets - now.presets.keys())
    if new or gone:
        return f"other models than in the last one: {new} new, {gone} gone"
    if before.code_version != CODE_VERSIONS[StageKind.REPORT]:
        return f"its code is version {CODE_VERSIONS[StageKind.REPORT]}, was {before.code_version}"
    return "other results than in the last one"


def _changed_settings(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key in sorted(now.keys() | before.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changed_settings(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key} is {_value(new)}, was {_value(old)}"


def _value(value: object) -> str:
    return shortened(str(value), 30)
