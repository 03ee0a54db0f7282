"""The entry points of pkd, the malformed inputs for each, and which answers are failures."""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from command import tree
from hypothesis import strategies as st

from faults.malformed import arguments, corrupted_bytes, corrupted_json, texts, values
from flows.cli.app import main
from pkd_core.config.overrides import build_run_config, build_settings, parse_assignments, setting_keys
from pkd_core.config.presets import preset_for
from pkd_core.config.settings import RunConfig
from pkd_core.data.glue import load_task
from pkd_core.data.tsv import read_examples
from pkd_core.errors import PkdError
from pkd_core.model.loading import build_classifier

_OPTIONS = ("--methods", "--student-layers", "--seeds", "--workspace", "--model", "--device")
_FLAGS = (*_OPTIONS, "--deep", "--help", "--no-such")
_METHODS = ("teacher", "finetune", "kd", "pkd-skip", "pkd-last")


@dataclass(frozen=True)
class EntryPoint:
    """A function, file or command through which input reaches pkd.

    Attributes:
        name: For the table's details.
        inputs: Strategy for the inputs.
        check: Passes an input to the entry point; returns what was wrong with the answer, or "".
        fraction: Fraction of all inputs that this entry point gets.
    """

    name: str
    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], str]
    fraction: float


def entry_points_of(workspace: Path, model: Path) -> list[EntryPoint]:
    """Return all entry points, for a workspace with the tasks Tiny, RTE and MRPC, and a tiny model."""
    raw = workspace / "data_raw"
    files = [raw / name for name in ("Tiny/train.tsv", "Tiny/test.tsv", "RTE/train.tsv", "MRPC/dev.tsv")]
    assignments = st.builds("{}={}".format, st.one_of(st.sampled_from(setting_keys()), texts), texts)
    changes = {name: st.one_of(values, st.lists(values, max_size=3)) for name in RunConfig.model_fields}
    argument = st.one_of(arguments, assignments, st.just("Tiny"), st.sampled_from(_FLAGS)).filter(_has_no_nul)
    option = st.tuples(st.sampled_from(_OPTIONS), arguments).filter(lambda pair: _has_no_nul(pair[1]))
    line = st.lists(st.one_of(st.tuples(argument), option), max_size=5).map(
        lambda parts: [*chain.from_iterable(parts)]
    )
    # Without a valid task first, most of the arguments after it are never read.
    line = st.one_of(line, line.map(lambda rest: ["Tiny", *rest]))
    return [
        EntryPoint("reader", st.tuples(st.sampled_from(files), _corrupted(files)), partial(_check_reader, raw), 0.3),
        EntryPoint("task.toml", _corrupted([raw / "Tiny/task.toml"]), partial(_check_task_file, raw), 0.1),
        EntryPoint("settings as words", st.lists(st.one_of(assignments, texts), max_size=4), _check_assignments, 0.15),
        EntryPoint("settings as values", st.fixed_dictionaries({}, optional=changes), _check_values, 0.1),
        EntryPoint("presets", st.tuples(texts, st.sampled_from(_METHODS), st.integers(), st.integers()),
                   _check_preset, 0.05),
        EntryPoint("command line", st.tuples(st.sampled_from(("plan", "plan", "run", "verify", "report")), line),
                   partial(_check_command_line, workspace, model), 0.2),
        EntryPoint("model files", _corrupted_model(model), partial(_check_model, workspace, model), 0.1),
    ]  # fmt: skip


def _corrupted(files: Sequence[Path]) -> st.SearchStrategy[bytes]:
    return corrupted_bytes([path.read_bytes() for path in files])


def _corrupted_model(model: Path) -> st.SearchStrategy[tuple[str, bytes]]:
    weights = (model / "model.safetensors").read_bytes()
    end = 8 + int.from_bytes(weights[:8], "little")
    header = corrupted_bytes([weights[:end]]).map(lambda head: head + weights[end:])
    strategies = [st.tuples(st.just("model.safetensors"), header)]
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        content = (model / name).read_bytes()
        corrupted = st.one_of(corrupted_json(json.loads(content)), corrupted_bytes([content]))
        strategies.append(st.tuples(st.just(name), corrupted))
    return st.one_of(strategies)


def _has_no_nul(argument: str) -> bool:
    return "\0" not in argument


def _failure(call: Callable[[], object], folder: Path | None = None) -> str:
    """Return what is wrong with how a call ends or with what it changes in a folder, or ""."""
    before = tree(folder) if folder else {}
    try:
        call()
    except PkdError as error:
        if "\n" in str(error) or not str(error):
            return f"not one sentence: {str(error)!r}"
    except BaseException as error:  # panics of some libraries are not Exceptions
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}"
    return "files were changed" if folder and tree(folder) != before else ""


@contextmanager
def _replaced(path: Path, content: bytes) -> Iterator[None]:
    """Replace a file's content for the duration of the body."""
    original = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(original)


def _check_reader(raw: Path, value: tuple[Path, bytes]) -> str:
    path, content = value
    task = load_task(path.parent.name, raw)
    with _replaced(path, content):
        return _failure(lambda: list(read_examples(path, task, task.split(path.stem))), path.parent)


def _check_task_file(raw: Path, content: bytes) -> str:
    path = raw / "Tiny" / "task.toml"
    with _replaced(path, content):
        return _failure(lambda: load_task("Tiny", raw), path.parent)


def _check_assignments(words: list[str]) -> str:
    return _failure(lambda: build_settings(parse_assignments(words)))


def _check_values(changes: Mapping[str, Any]) -> str:
    return _failure(lambda: build_run_config(**{"tasks": ["Tiny"], **changes}))


def _check_preset(key: tuple[str, str, int, int]) -> str:
    return _failure(lambda: build_settings(preset_for(*key).settings))


def _check_command_line(workspace: Path, model: Path, value: tuple[str, list[str]]) -> str:
    command, line = value
    # A line that happens to be valid must not start a run: an invalid setting stops it before anything runs.
    invalid = ["tokens.max_length=0"] if command == "run" else []
    options = ["--model", str(model)] if command in ("plan", "run") else []
    return _failure(lambda: _run_pkd(command, *options, *invalid, *line), workspace.parent)


def _check_model(workspace: Path, model: Path, value: tuple[str, bytes]) -> str:
    name, content = value
    task = load_task("Tiny", workspace / "data_raw")
    with _replaced(model / name, content):
        failure = _failure(lambda: _run_pkd("plan", "Tiny", "--model", str(model)), workspace.parent)
        return failure or _failure(lambda: build_classifier(model, task, 1), model)


def _run_pkd(*arguments: str) -> None:
    """Run `pkd` in this process.

    Raises:
        AssertionError: If its exit status or error output is not what a user should see.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(list(arguments))
        except SystemExit as exited:
            status = exited.code
    err.seek(0)
    errors = err.read()
    if status == 2:
        # pkd's own errors are one line; those of typer are two or four.
        assert re.fullmatch(r"pkd: [^\n]+\.\n|(Usage: [^\n]+\n[^\n]+\n\n)?Error: [^\n]+\n", errors), errors
    else:
        assert (status, errors) == (0, ""), f"status {status}: {errors}"
