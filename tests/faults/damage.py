"""Every kind of damage to every published file: the plan must see it, and a run mend exactly that."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tiny import QUICK_SETTINGS, write_tiny_model, write_tiny_task

from faults.tally import Tally
from pkd_core.config.overrides import build_run_config
from pkd_core.config.settings import RunOptions
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.store.stage_store import StageStatus


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _flip(path: Path) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _add_foreign(path: Path) -> None:
    path.with_name(f"{path.name}.foreign").write_text("not ours", encoding="utf-8")


_DAMAGES: Mapping[str, Callable[[Path], None]] = {
    "truncated": _truncate,
    "flipped": _flip,
    "emptied": _empty,
    "deleted": Path.unlink,
    "joined by a foreign file": _add_foreign,
}


def damage_everything(root: Path, every: int) -> Tally:
    """Damage published files one by one, and run again after each.

    Args:
        root: An empty folder.
        every: Only each so many of the damages is done, to save time.
    """
    write_tiny_task(root / "data_raw")
    write_tiny_model(root / "model")
    tally = Tally("damage to a published file")
    _run(root)
    files = [path for path in sorted(root.glob("*/*/*/**/*")) if path.is_file() and ".work" not in path.parts]
    published = [path for path in files if any((up / "manifest.json").is_file() for up in path.parents)]
    # A bit of a manifest may lie in its date, and mean nothing; tests/store damages its fields one by one.
    cases = [
        (path, kind)
        for path in published
        for kind in _DAMAGES
        if (path.name, kind) != ("manifest.json", "flipped")
    ]
    for path, kind in cases[::every]:
        _DAMAGES[kind](path)
        tally.injected += 1
        seen = [one for one in _plan(root).stages if one.status is not StageStatus.DONE]
        _run(root)
        if not seen or any(one.status is not StageStatus.DONE for one in _plan(root).stages):
            tally.lose(f"{path.relative_to(root)} {kind}")
    return tally


def _plan(root: Path) -> Plan:
    run = build_run_config(
        tasks=["Tiny"], methods=["pkd-skip"], seeds=[1], model=str(root / "model"), settings=QUICK_SETTINGS
    )
    return make_plan(run, root, deep=True)


def _run(root: Path) -> None:
    plan = _plan(root)
    run_plan(plan, RunOptions(device="cpu", deep=True))
