"""mutmut's mutants and workers, with what it leaves out: decorated functions, samples, fast tests first.

mutmut writes all mutants of a function beside it, collects the tests that reach each function once, and forks a worker
for each mutant from a process that has everything imported. Its version is pinned, as this uses its inside.
"""

import ast
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import libcst
import mutmut.__main__ as program
from mutmut.configuration import config
from mutmut.mutation import file_mutation
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import read_functions_from_index
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import mangled_name_from_mutant_name, orig_function_and_class_names_from_key
from mutmut.workers.isolation import get_mutant_runner

# Decorators that work as well around mutmut's switch between mutants as around the function itself.
_PLAIN_DECORATORS = ("contextmanager", "property", "cached_property", "cache", "torch.inference_mode()")
# A subprocess of the tests takes the mutant from the environment; it cannot count which functions it reaches.
_SITE_CUSTOMIZE = """
import os
if os.environ.get("MUTANT_UNDER_TEST") in ("stats", "list_all_tests", "mutant_generation"):
    del os.environ["MUTANT_UNDER_TEST"]
"""


@dataclass(frozen=True)
class Mutant:
    """One fault in one function of one file."""

    name: str
    path: Path

    @property
    def package(self) -> str:
        return self.path.parts[1]


def prepare(targets: Collection[Path], tests: Sequence[str], num_jobs: int) -> list[Mutant]:
    """Write the mutants of some files or folders below `mutants/`, and find which tests reach them."""
    config().only_mutate = [f"{path}/*" if path.is_dir() else str(path) for path in targets]
    config().pytest_add_cli_args_test_selection = list(tests)
    _include_decorated_functions()
    program.print_status = lambda *_, **__: None  # a spinner, which fills a log file
    set_mutant_under_test("mutant_generation")
    with program.CatchOutput():
        program.copy_src_dir()
        program.copy_also_copy_files()
        program.setup_source_paths()
        program.create_mutants(num_jobs)
    folder = Path("mutants").resolve()
    (folder / "sitecustomize.py").write_text(_SITE_CUSTOMIZE, encoding="utf-8")
    (folder / "tmp").mkdir()
    # Subprocesses import the mutants too, and what killed workers leave behind goes with the folder.
    os.environ |= {"PYTHONPATH": f"{folder}:{folder / 'tests'}", "TMPDIR": str(folder / "tmp")}
    program.collect_or_load_stats(get_mutant_runner(num_jobs))
    return [Mutant(name, path) for path in sorted(walk_mutatable_files()) for name in _names(path)]


def run(mutants: Sequence[Mutant], num_jobs: int, max_seconds: float) -> Iterator[tuple[Mutant, str]]:
    """Run the tests that reach each mutant, and yield each mutant with mutmut's name for the outcome.

    Args:
        mutants: What `prepare` returned, or some of it.
        num_jobs: Processes that run tests.
        max_seconds: Limit of the tests of other packages than the mutant's, by their own durations together.
    """
    by_name = {mutant.name: mutant for mutant in mutants}
    runner = get_mutant_runner(num_jobs)
    set_mutant_under_test("")
    runner.startup()
    try:
        for mutant in mutants:
            while not runner.has_capacity():
                yield _next_result(runner, by_name)
            tests = _tests_for(mutant, max_seconds)
            seconds = sum(state().duration_by_test[test] for test in tests)
            # Each test has a limit of its own; this one is for what stops a worker elsewhere, and is halved by mutmut.
            runner.submit(mutant.name, tests, int(20 * seconds + 240), seconds)
        runner.signal_work_complete()
        while runner.pending_count():
            yield _next_result(runner, by_name)
    finally:
        runner.stop_all_workers()
        runner.shutdown()


def _tests_for(mutant: Mutant, max_seconds: float) -> list[str]:
    """Return the tests of the files that reach a mutant, its own package's first and fast ones before slow ones.

    All tests of a file: what a shared fixture reaches is counted for the first test that uses the fixture alone.
    """
    durations = state().duration_by_test
    reaching = state().tests_by_mangled_function_name[mangled_name_from_mutant_name(mutant.name)]
    files = {test.partition("::")[0] for test in reaching}
    ordered = sorted(
        (test for test in durations if test.partition("::")[0] in files), key=durations.__getitem__
    )
    own = [test for test in ordered if test.startswith(f"tests/{mutant.package}/")]
    others = [test for test in ordered if test not in own]
    total = accumulate(durations[test] for test in others)
    return own + [test for test, seconds in zip(others, total, strict=True) if seconds <= max_seconds]


def describe(mutant: Mutant) -> str:
    """Return file and line of a mutant, and what it changes."""
    functions = read_functions_from_index(mutant.name, mutant.path)
    assert functions is not None
    before, after = (libcst.Module([function]).code.splitlines() for function in functions)
    first = next(number for number, pair in enumerate(zip(before, after, strict=False)) if len({*pair}) == 2)
    from_end = next(
        (
            number
            for number, pair in enumerate(zip(before[::-1], after[::-1], strict=False))
            if len({*pair}) == 2
        ),
        0,
    )
    removed, added = (lines[first : max(len(lines) - from_end, first + 1)] for lines in (before, after))
    head = next(number for number, line in enumerate(before) if line.lstrip().startswith("def "))
    line = _line_of_function(mutant) + first - head
    changes = [*(f"- {text.strip()}" for text in removed), *(f"+ {text.strip()}" for text in added)]
    return "\n    ".join([f"{mutant.path}:{line} ({mutant.name.rpartition('.')[2]})", *changes])


def _line_of_function(mutant: Mutant) -> int:
    name, class_name = orig_function_and_class_names_from_key(mutant.name)
    body: list[Any] = ast.parse(mutant.path.read_text(encoding="utf-8")).body
    if class_name:
        body = next(node.body for node in body if isinstance(node, ast.ClassDef) and node.name == class_name)
    return next(node.lineno for node in body if isinstance(node, ast.FunctionDef) and node.name == name)


def _names(path: Path) -> list[str]:
    data = SourceFileMutationData(path=path)
    data.load()
    return list(data.exit_code_by_key)


def _next_result(runner: Any, by_name: dict[str, Mutant]) -> tuple[Mutant, str]:
    result = runner.wait_for_result()
    return by_name[result.mutant_name], status_by_exit_code[result.exit_code]


def _include_decorated_functions() -> None:
    """Mutate functions below one of the plain decorators: mutmut skips all but static and class methods."""
    skip, arrange = (
        file_mutation.MutationVisitor._skip_node_and_children,
        file_mutation.function_trampoline_arrangement,
    )

    def skip_less(self: Any, node: libcst.CSTNode) -> bool:
        if isinstance(node, libcst.Arg) and node.keyword is not None and node.keyword.value == "encoding":
            return True  # the names of an encoding are all equal
        return False if isinstance(node, libcst.FunctionDef) and _is_plain(node) else skip(self, node)

    def arrange_bare(function: libcst.FunctionDef, *args: Any, **kwargs: Any) -> Any:
        declarations, nodes, assignments, names = arrange(function, *args, **kwargs)
        if _is_plain(function):
            # The decorator stays around the switch alone.
            nodes = [nodes[0], *(node.with_changes(decorators=[]) for node in nodes[1:])]
        return declarations, nodes, assignments, names

    file_mutation.MutationVisitor._skip_node_and_children = skip_less
    file_mutation.function_trampoline_arrangement = arrange_bare


def _is_plain(function: libcst.FunctionDef) -> bool:
    decorators = [libcst.Module([]).code_for_node(one.decorator) for one in function.decorators]
    return len(decorators) == 1 and decorators[0] in _PLAIN_DECORATORS
