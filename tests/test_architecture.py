"""The rooms stay apart: who may import whom, how long things may be, and which calls are made nowhere."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("pkd_core", "tasks", "flows")
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 60

# Each package of pkd_core may import itself and those before it.
PACKAGES = (
    "errors",
    "places",
    "store",
    "runtime",
    "method",
    "data",
    "own_data",
    "config",
    "model",
    "teacher_states",
    "evaluation",
    "training",
    "export",
    "latency",
    "report",
    "pipeline",
)
PROJECT_IMPORTS_ALLOWED = {
    "pkd_core/method": ("pkd_core.method",),
    **{
        f"pkd_core/{package}": tuple(f"pkd_core.{name}" for name in PACKAGES[: number + 1])
        for number, package in enumerate(PACKAGES)
        if package != "method"
    },
    "pkd_core/errors.py": (),
    "pkd_core/__init__.py": ("pkd_core.pipeline",),
    "tasks": ("tasks", "pkd_core"),
    "flows": ("flows", "tasks", "pkd_core"),
}
FOREIGN_IMPORTS_FORBIDDEN = {
    "pkd_core": ("prefect", "mlflow"),
    "pkd_core/places": ("torch", "transformers", "pydantic"),
    "pkd_core/store": ("torch", "transformers", "pydantic"),
    "pkd_core/method": ("transformers", "pydantic"),
    "pkd_core/data": ("pydantic",),
    "pkd_core/model": ("pydantic",),
    "pkd_core/teacher_states": ("pydantic",),
    "pkd_core/training": ("pydantic",),
    "pkd_core/evaluation": ("pydantic",),
    "pkd_core/export": ("pydantic",),
    # Copied into bundles, which run without pkd.
    "pkd_core/export/bundle_predict.py": ("pkd_core", "torch", "transformers"),
    "pkd_core/latency": ("pydantic",),
    "flows": ("torch", "mlflow"),
}
# Pretrains the demo's BERT.
TORCH_ALLOWED = ("flows/demo_model.py",)
# datasets costs seconds and hashes what it is given: only the function that fetches data pays for it. The others belong
# to extras, without which models are trained on one machine.
IMPORTED_IN_FUNCTIONS_ONLY = ("datasets", "obstore", "onnx", "onnxruntime", "prefect_ray", "ray")
UNSAFE_MODULES = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
PRINTING_ALLOWED = ("flows/cli/app.py",)


def _inside(name: str, parents: tuple[str, ...], separator: str) -> bool:
    return any(name == parent or name.startswith(parent + separator) for parent in parents)


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            # `from pkd_core import errors` means pkd_core.errors; a function's name on top does no harm.
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _lines_run_later(tree: ast.AST) -> set[int]:
    """Return the lines that importing the module does not run: of functions, and for type checkers alone."""
    later = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not node.orelse)
    ]
    return {line for node in later for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def _import_faults(path: str, tree: ast.AST) -> Iterator[str]:
    home = next((room for room in PROJECT_IMPORTS_ALLOWED if _inside(path, (room,), "/")), None)
    if home is None:
        yield f"{path}: belongs to no package"
        return
    forbidden = [
        names
        for room, names in FOREIGN_IMPORTS_FORBIDDEN.items()
        if _inside(path, (room,), "/") and path not in TORCH_ALLOWED
    ]
    run_later = _lines_run_later(tree)
    for line, name in _imports(tree):
        if _inside(name, IMPORTED_IN_FUNCTIONS_ONLY, ".") and line not in run_later:
            yield f"{path}:{line}: {name} is imported inside a function only"
        if _inside(name, ROOMS, ".") and not _inside(name, PROJECT_IMPORTS_ALLOWED[home], "."):
            yield f"{path}:{line}: {home} does not import {name}"
        if any(_inside(name, names, ".") for names in (*forbidden, UNSAFE_MODULES)):
            yield f"{path}:{line}: {name} is not imported here"


def _call_faults(path: str, tree: ast.AST) -> Iterator[str]:
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = ast.unparse(call.func)
        if called == "print" and path not in PRINTING_ALLOWED:
            yield f"{path}:{call.lineno}: print belongs to the command line alone"
        if called == "torch.load":
            safe = [word.value for word in call.keywords if word.arg == "weights_only"]
            if not (safe and isinstance(safe[0], ast.Constant) and safe[0].value is True):
                yield f"{path}:{call.lineno}: torch.load without weights_only=True runs the file's code"


def _length_faults(path: str, source: str, tree: ast.AST) -> Iterator[str]:
    num_lines = len(source.splitlines())
    if num_lines > MAX_MODULE_LINES:
        yield f"{path}: {num_lines} lines, at most {MAX_MODULE_LINES}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if num_lines > MAX_FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {num_lines} lines, at most {MAX_FUNCTION_LINES}"


def faults(path: str, source: str) -> list[str]:
    """Return what breaks the house's rules in one module; its path is from the root, with forward slashes."""
    tree = ast.parse(source)
    found = list(_length_faults(path, source, tree))
    if _inside(path, ROOMS, "/"):
        found += [*_import_faults(path, tree), *_call_faults(path, tree)]
    return found


def _modules() -> list[Path]:
    folders = [ROOT / name for name in (*ROOMS, "tests", "benchmarks")]
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


@pytest.mark.parametrize("module", _modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_module_keeps_the_rules_of_its_room(module: Path) -> None:
    assert faults(module.relative_to(ROOT).as_posix(), module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("pkd_core/report/write.py", "import mlflow"),
        ("pkd_core/report/write.py", "from prefect.cache_policies import NO_CACHE"),
        ("pkd_core/report/write.py", "def f():\n    from tasks.tracking import tracked_run"),
        ("tasks/stages.py", "import flows.pkd"),
        ("flows/pkd.py", "import torch"),
        ("pkd_core/method/losses.py", "from pkd_core.config.settings import DistillConfig"),
        ("pkd_core/method/losses.py", "from pkd_core import config"),
        ("pkd_core/store/manifest.py", "from pkd_core.data.glue import Task"),
        ("pkd_core/model/forward.py", "from pkd_core.training.loop import train"),
        ("pkd_core/training/loop.py", "from pkd_core.pipeline.job import Job"),
        ("pkd_core/errors.py", "from pkd_core.store.lock import hold"),
        ("pkd_core/loose.py", "x = 1"),
        ("pkd_core/training/loop.py", "import datasets"),
        ("pkd_core/export/onnx_files.py", "import onnxruntime"),
        ("pkd_core/places/s3.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import obstore"),
        ("pkd_core/export/bundle_predict.py", "from pkd_core.errors import ConfigError"),
        ("tasks/stages.py", "import pickle"),
        ("pkd_core/model/loading.py", "torch.load(path)"),
        ("pkd_core/model/loading.py", "torch.load(path, weights_only=False)"),
        ("tasks/stages.py", "print(1)"),
        ("tests/test_long.py", "x = 1\n" * 301),
        ("benchmarks/long.py", "def f():\n" + "    x = 1\n" * 60),
    ],
)
def test_a_broken_rule_is_found(path: str, source: str) -> None:
    assert faults(path, source) != []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("flows/cli/app.py", "from tasks import stages\nprint(1)"),
        ("tasks/tracking.py", "import mlflow\nfrom pkd_core.store.address import StageRecord"),
        ("pkd_core/store/manifest.py", "from pkd_core.errors import StoreError"),
        ("pkd_core/method/losses.py", "import torch\nfrom pkd_core.method.layer_map import skip_layers"),
        ("pkd_core/model/loading.py", "torch.load(path, weights_only=True)"),
        ("pkd_core/data/download.py", "def fetch():\n    import datasets"),
        ("pkd_core/places/s3.py", "if TYPE_CHECKING:\n    import obstore"),
        ("pkd_core/pipeline/plan.py", "import mlflow_like"),
    ],
)
def test_an_allowed_module_is_let_pass(path: str, source: str) -> None:
    assert faults(path, source) == []
