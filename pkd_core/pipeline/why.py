"""Why a stage must be built although one of the same name was built before."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pkd_core.errors import StoreError, shortened
from pkd_core.pipeline.kinds import CODE_VERSIONS
from pkd_core.pipeline.stage import Stage
from pkd_core.store.manifest import Manifest, read_manifest


def explain_missing(stage: Stage, workspace: Path) -> str:
    """Return how a missing stage differs from the newest published one of the same name."""
    others = list(_same_name(stage, workspace))
    if not others:
        return "not built yet"
    newest = max(others, key=lambda manifest: manifest.created)
    changes = [
        *(
            f"{part} has changed"
            for part, digest in stage.sources.items()
            if newest.inputs.get(part) != digest
        ),
        *_changed_settings(newest.config, stage.config),
    ]
    if newest.code_version != CODE_VERSIONS[stage.kind]:
        changes.append(f"its code is version {CODE_VERSIONS[stage.kind]}, was {newest.code_version}")
    gone = newest.inputs.keys() - stage.sources.keys() - stage.inputs.keys()
    changes += [f"{part} is gone" for part in sorted(gone)]
    if not changes:
        return f"built before, but from another {' and '.join(stage.inputs)} stage"
    return f"not built yet: {', '.join(changes[:3])}" + (" and more" if len(changes) > 3 else "")


def _same_name(stage: Stage, workspace: Path) -> Iterator[Manifest]:
    for folder in (workspace / stage.address.folder).parent.glob(f"{stage.name}-*"):
        try:
            manifest = read_manifest(folder)
        except StoreError:
            continue
        if manifest.stage == stage.name:
            yield manifest


def _changed_settings(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key in sorted(now.keys() | before.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changed_settings(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key} is {shortened(str(new))}, was {shortened(str(old))}"
