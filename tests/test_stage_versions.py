"""A stage's code may not change without somebody deciding whether its old results still stand.

`stage_sources.json` holds, beside each stage's version, a hash of every module and data file that decides what the
stage makes. After such a change: raise the stage's version in pkd_core/stage.py if old results no longer stand, then
write the file again with `python tests/test_stage_versions.py`.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for the script: Python puts only the script's own folder there

from pkd_core.stage import CODE_VERSIONS, StageKind  # noqa: E402
from pkd_core.stages.build import _FUNCTIONS  # noqa: E402

RECORD = Path(__file__).with_name("stage_sources.json")
# What stages import but what decides no result, with the reason; nothing is looked for behind these.
NOT_DECIDING = {
    "pkd_core.config": "every value that a stage reads is part of its address",
    "pkd_core.errors": "names of errors",
    "pkd_core.observer": "listens",
    "pkd_core.stage": "holds the versions, and draws addresses",
    "pkd_core.store": "keeps files, and knows nothing of what is in them",
}
DATA_FILES = {"pkd_core.presets": ("pkd_core/published_dev_results.csv",)}
NOT_READ = ("pkd_core/py.typed",)


def path_of(module: str) -> Path | None:
    """Return a module's file, or None if it is a package or none of ours."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    return path if module.startswith("pkd_core.") and path.is_file() else None


def imported(path: Path) -> Iterator[str]:
    """Yield the project's modules that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if path_of(name))


def is_deciding(module: str) -> bool:
    """Tell whether a module is outside of all that decides nothing."""
    return not any(f"{module}.".startswith(f"{name}.") for name in NOT_DECIDING)


def deciding_modules(kind: StageKind) -> set[str]:
    """Return the module of a stage's function and all deciding ones that it imports, directly or not."""
    waiting, found = [_FUNCTIONS[kind].__module__], set()
    while waiting:
        module = waiting.pop()
        if module not in found and is_deciding(module):
            found.add(module)
            path = path_of(module)
            assert path is not None, f"{module} is no module of pkd_core"
            waiting += imported(path)
    return found


def normalised(source: str) -> str:
    """Write a module's syntax tree without its docstrings, alike on every Python from 3.11 on.

    The tree has no comments and no layout; ast.dump would do, but spells empty fields by Python's version.
    """
    tree = ast.parse(source)
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, described) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return _written(tree)


def _written(value: object) -> str:
    if isinstance(value, ast.AST):
        fields = ((name, part) for name, part in ast.iter_fields(value) if part is not None and part != [])
        return f"{type(value).__name__}({', '.join(f'{name}={_written(part)}' for name, part in fields)})"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return repr(value)


def current(kind: StageKind) -> dict[str, Any]:
    """Return a stage's version and the hashes of what decides its result, by path."""
    hashes: dict[str, str] = {}
    for module in deciding_modules(kind):
        path = path_of(module)
        assert path is not None
        text = normalised(path.read_text(encoding="utf-8"))
        hashes[path.relative_to(ROOT).as_posix()] = _hash(text.encode())
        hashes |= {name: _hash((ROOT / name).read_bytes()) for name in DATA_FILES.get(module, ())}
    return {"version": CODE_VERSIONS[kind], "sources": dict(sorted(hashes.items()))}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def write_record() -> None:
    """Write the versions and hashes as they are now."""
    record = {kind.value: current(kind) for kind in StageKind}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@pytest.mark.parametrize("kind", StageKind)
def test_a_stages_code_is_the_one_that_its_version_was_decided_for(kind: StageKind) -> None:
    recorded, now = json.loads(RECORD.read_text(encoding="utf-8"))[kind], current(kind)
    files = recorded["sources"].keys() | now["sources"].keys()
    changed = sorted(name for name in files if recorded["sources"].get(name) != now["sources"].get(name))
    if recorded == now:
        return
    pytest.fail(
        f"{', '.join(changed) or 'its version'} changed, which decides what the stage {kind} makes: if old results no "
        f"longer stand, raise its version ({now['version']}, recorded {recorded['version']}) in pkd_core/stage.py; "
        "then run `python tests/test_stage_versions.py`.",
        pytrace=False,
    )


def test_nothing_is_called_not_deciding_that_no_stage_imports() -> None:
    deciding = {module for kind in StageKind for module in deciding_modules(kind)}
    reached = {name for module in deciding if (path := path_of(module)) for name in imported(path)}
    for name in NOT_DECIDING:
        assert any(f"{module}.".startswith(f"{name}.") for module in reached), name


def test_every_data_file_of_the_package_is_hashed() -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pkd_core").rglob("*") if path.is_file()}
    data = {name for name in files if not name.endswith((".py", ".pyc"))}
    assert data == {name for names in DATA_FILES.values() for name in names} | set(NOT_READ)


SAMPLE = '''\
"""A module."""

RATE = 0.1  # of what is left


def weigh(value: float, *others: float) -> str:
    """Weigh."""
    if value > RATE:
        value = sum(others, start=value)
    return f"{value:.2f} of {RATE!r} {{}}"
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # of what is left", ""),
        ('"""A module."""', '"""Another module, described\n\nat length."""'),
        ('    """Weigh."""\n', ""),
        ("value > RATE", "(value\n        >   RATE)"),
        ("        value = sum", "            value = sum"),
        ("\n\n\n", "\n"),
    ],
)
def test_comments_layout_and_docstrings_leave_the_hash_alone(old: str, new: str) -> None:
    assert old in SAMPLE
    assert normalised(SAMPLE.replace(old, new)) == normalised(SAMPLE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.1", "0.2"),
        ("value >", "value >="),
        (".2f", ".3f"),
        ("{{}}", "{{ }}"),
        ("    return", "        return"),
        ("*others", "others"),
        ("RATE = 0.1", 'RATE = "0.1"'),
        ("def weigh", "async def weigh"),
    ],
)
def test_whatever_could_change_a_result_changes_the_hash(old: str, new: str) -> None:
    assert old in SAMPLE
    assert normalised(SAMPLE.replace(old, new)) != normalised(SAMPLE)


def test_the_hash_is_the_same_on_every_python() -> None:
    assert _hash(normalised(SAMPLE).encode()) == "20aca666090268d8"


if __name__ == "__main__":
    write_record()
