"""Every kind of damage to every published file: the plan detects it, and a run rebuilds exactly that stage."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tiny import QUICK_SETTINGS, write_tiny_model, write_tiny_task

from faults.outcome import Outcome
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.store.stage_store import StageStatus


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _flip_one_bit(path: Path) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _add_unknown_file(path: Path) -> None:
    path.with_name(f"{path.name}.unknown").write_text("not in the manifest", encoding="utf-8")


_DAMAGES: Mapping[str, Callable[[Path], None]] = {
    "truncated": _truncate,
    "one bit flipped": _flip_one_bit,
    "emptied": _empty,
    "deleted": Path.unlink,
    "unknown file added": _add_unknown_file,
}


def damage_published_files(root: Path, every: int) -> Outcome:
    """Damage published files one by one, and run again after each.

    Args:
        root: An empty folder.
        every: Inject only every n-th damage, to save time.
    """
    write_tiny_task(root / "data_raw")
    write_tiny_model(root / "model")
    outcome = Outcome("damage to a published file")
    _run(root)
    files = [path for path in sorted(root.glob("*/*/*/**/*")) if path.is_file() and ".work" not in path.parts]
    published = [
        path for path in files if any((parent / "manifest.json").is_file() for parent in path.parents)
    ]
    # A flipped bit of a manifest may be in its date, which changes nothing; tests/store damages its fields one by one.
    cases = [
        (path, kind)
        for path in published
        for kind in _DAMAGES
        if (path.name, kind) != ("manifest.json", "one bit flipped")
    ]
    for path, kind in cases[::every]:
        _DAMAGES[kind](path)
        outcome.injected += 1
        detected = _not_done(root)
        _run(root)
        if len(detected) != 1 or _not_done(root):
            outcome.add_lost(f"{path.relative_to(root)} {kind}")
    return outcome


def _not_done(root: Path) -> list[str]:
    return [planned.stage.key for planned in _plan(root).stages if planned.status is not StageStatus.DONE]


def _plan(root: Path) -> Plan:
    run = build_run_config(
        tasks=["Tiny"], methods=["pkd-skip"], seeds=[1], model=str(root / "model"), settings=QUICK_SETTINGS
    )
    return make_plan(run, root, deep=True, device="cpu")


def _run(root: Path) -> None:
    plan = _plan(root)
    run_plan(plan, RunOptions(device="cpu", deep=True))
