"""What is installed: the declared dependencies, the wheel's files, and the wheel at work outside the clone."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from command import run_pkd
from tiny import write_tiny_model, write_tiny_task

from flows.cli.__main__ import main
from pkd_core.data.download import download_task
from pkd_core.errors import DataError

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pkd_core", "tasks", "flows")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Only the download of GLUE imports it, inside a function.
OPTIONAL_IN_CORE = {"datasets"}
# torch imports them to export a model.
IMPORTED_BY_TORCH = {"onnx-ir", "onnxscript"}
# Bounded for Prefect's sake, which is what imports it.
BOUNDED_ONLY = {"fastapi"}
DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml"}


def declared(requirements: Iterable[str]) -> set[str]:
    """Return the distributions' names, without the project itself, whose extras include each other."""
    names = {re.split(r"[^\w.-]", requirement)[0] for requirement in requirements}
    return {name.lower().replace("_", "-") for name in names} - {PROJECT["name"]}


def imported(*folders: str) -> set[str]:
    """Return the distributions that the modules below some folders import, in functions too."""
    ignored = {*PACKAGES, *folders, *sys.stdlib_module_names}
    if "tests" in folders:
        ignored |= {
            path.stem for path in (ROOT / "tests").rglob("*")
        }  # helpers, which pytest puts on the path
    modules = {
        name.partition(".")[0]
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imported_by(node)
    }
    return {DISTRIBUTIONS.get(module, module.replace("_", "-")) for module in modules - ignored}


def _imported_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""


CORE = declared(PROJECT["dependencies"])
EXTRAS = {name: declared(needed) for name, needed in PROJECT["optional-dependencies"].items()}


def test_pkd_core_imports_exactly_what_a_plain_installation_brings() -> None:
    assert imported("pkd_core") - OPTIONAL_IN_CORE - EXTRAS["export"] - EXTRAS["s3"] == CORE


def test_the_export_imports_what_its_extra_adds_and_a_run_of_the_pipeline_has_it() -> None:
    assert imported("pkd_core") & EXTRAS["export"] == EXTRAS["export"] - IMPORTED_BY_TORCH
    assert "pkd[export]" in PROJECT["optional-dependencies"]["pipeline"]


def test_the_object_store_imports_what_its_extra_adds() -> None:
    assert imported("pkd_core/places") & EXTRAS["s3"] == EXTRAS["s3"]


def test_tasks_and_flows_import_exactly_what_the_extra_pipeline_adds() -> None:
    imports = imported("tasks", "flows") | OPTIONAL_IN_CORE
    assert imports - CORE - EXTRAS["ray"] == EXTRAS["pipeline"] - BOUNDED_ONLY


def test_placing_stages_by_ray_imports_what_its_extra_adds() -> None:
    assert imported("flows/placement") & EXTRAS["ray"] == EXTRAS["ray"]


def test_tests_and_benchmarks_import_only_what_their_extras_bring() -> None:
    brought = CORE.union(
        *(EXTRAS[name] for name in ("pipeline", "export", "s3", "ray", "servers", "dev", "mutants"))
    )
    assert imported("tests") - brought == set()
    assert imported("benchmarks") - CORE - EXTRAS["pipeline"] == EXTRAS["bench"]


def test_pkd_without_the_pipeline_names_the_extra_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs mlflow" in line
    assert "pip install '.[pipeline]'" in line


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("--version") == 0
    assert capsys.readouterr().out == f"pkd {PROJECT['version']}\n"


def test_a_download_without_datasets_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="needs the package datasets"):
        download_task("RTE", tmp_path)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from a copy: setuptools writes into the folder that it builds."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # A folder that must not be packed, and all that must.
    for name in ("tests", *PACKAGES):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "import setuptools.build_meta as backend; backend.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, check=True)
    (path,) = source.glob("dist/*.whl")
    return path


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(wheel: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected
    assert {"pkd_core/py.typed", "pkd_core/config/published_dev_results.csv"} <= packed


def install(wheel: Path, folder: Path, without: Iterable[str] = ()) -> Path:
    """Return the interpreter of a new environment with the wheel and this environment's packages, but not the clone.

    Args:
        wheel: The project's wheel.
        folder: A folder for the environment.
        without: Names of packages that are left out, and what begins with them.
    """
    environment, libraries = folder / "environment", folder / "libraries"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", wheel], check=True)
    libraries.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.suffix != ".pth" and not path.name.lower().startswith((PROJECT["name"], *without)):
            (libraries / path.name).symlink_to(path)
    (site_packages,) = environment.glob("lib/*/site-packages")
    (site_packages / "libraries.pth").write_text(f"{libraries}\n", encoding="utf-8")
    return python


def run(command: list[str | Path], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_installed_wheel_runs_the_demo_outside_the_clone(wheel: Path, tmp_path: Path) -> None:
    python = install(wheel, tmp_path)
    show = f"import {', '.join(PACKAGES)}; print({', '.join(f'{name}.__file__' for name in PACKAGES)})"
    for path in run([python, "-c", show], tmp_path).split():
        assert Path(path).is_relative_to(python.parents[1])
    pkd = python.with_name("pkd")
    assert run([pkd, "--version"], tmp_path) == f"pkd {version('pkd')}\n"
    assert "MNLI" in run([pkd, "presets"], tmp_path)
    assert "pkd-skip, 2 layers" in run([pkd, "demo"], tmp_path)
    assert (tmp_path / "demo" / "artifacts" / "mlflow.db").is_file()


@pytest.mark.slow
def test_pkd_core_trains_and_evaluates_without_the_pipelines_packages(wheel: Path, tmp_path: Path) -> None:
    write_tiny_task(tmp_path / "data_raw", "Tiny")
    write_tiny_model(tmp_path / "model")
    # transformers itself needs httpx and typer.
    python = install(wheel, tmp_path, without=EXTRAS["pipeline"] - {"httpx", "typer"})
    script = """
from pathlib import Path
from pkd_core.config.overrides import build_run_config
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import make_plan

settings = {"teacher.num_epochs": 1, "student.num_epochs": 1, "tokens.max_length": 16}
run = build_run_config(tasks=["Tiny"], methods=["pkd-skip"], model="model", settings=settings)
plan = make_plan(run, workspace=Path())
records = run_plan(plan)
print(*records)
"""
    assert run([python, "-c", script], tmp_path).split()[-1] == "reports/report"
    with pytest.raises(AssertionError, match="the command line needs prefect and mlflow"):
        run([python.with_name("pkd"), "presets"], tmp_path)
