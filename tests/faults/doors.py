"""The ways into pkd, what is fed to each, and what is no good answer."""

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from command import tree
from hypothesis import strategies as st

from faults.nasty import spoilt_bytes, spoilt_json, texts, values, words
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
class Door:
    """One way in.

    Attributes:
        name: For the table's details.
        inputs: What is fed.
        feed: Takes an input; returns what was wrong with the answer, or nothing.
        share: How much of all inputs goes in here.
    """

    name: str
    inputs: st.SearchStrategy[Any]
    feed: Callable[[Any], str]
    share: float


def doors_of(workspace: Path, model: Path) -> list[Door]:
    """Return all doors of a workspace with the tasks Tiny, RTE and MRPC, and a tiny model."""
    raw = workspace / "data_raw"
    files = [raw / name for name in ("Tiny/train.tsv", "Tiny/test.tsv", "RTE/train.tsv", "MRPC/dev.tsv")]
    assignments = st.builds("{}={}".format, st.one_of(st.sampled_from(setting_keys()), texts), texts)
    changes = {name: st.one_of(values, st.lists(values, max_size=3)) for name in RunConfig.model_fields}
    word = st.one_of(words, assignments, st.just("Tiny"), st.sampled_from(_FLAGS)).filter(_can_be_passed)
    option = st.tuples(st.sampled_from(_OPTIONS), words).filter(lambda pair: _can_be_passed(pair[1]))
    line = st.lists(st.one_of(st.tuples(word), option), max_size=5).map(
        lambda parts: [*chain.from_iterable(parts)]
    )
    # Without a good task first, most of what comes after is never looked at.
    line = st.one_of(line, line.map(lambda given: ["Tiny", *given]))
    return [
        Door("reader", st.tuples(st.sampled_from(files), _spoilt(files)), partial(_feed_reader, raw), 0.3),
        Door("task.toml", _spoilt([raw / "Tiny/task.toml"]), partial(_feed_task_file, raw), 0.1),
        Door("settings as words", st.lists(st.one_of(assignments, texts), max_size=4), _feed_words, 0.15),
        Door("settings as values", st.fixed_dictionaries({}, optional=changes), _feed_values, 0.1),
        Door("presets", st.tuples(texts, st.sampled_from(_METHODS), st.integers(), st.integers()), _feed_preset, 0.05),
        Door("command line", st.tuples(st.sampled_from(("plan", "plan", "run", "verify", "report")), line),
             partial(_feed_command_line, workspace, model), 0.2),
        Door("model files", _spoilt_model(model), partial(_feed_model, workspace, model), 0.1),
    ]  # fmt: skip


def _spoilt(files: Sequence[Path]) -> st.SearchStrategy[bytes]:
    return spoilt_bytes([path.read_bytes() for path in files])


def _spoilt_model(model: Path) -> st.SearchStrategy[tuple[str, bytes]]:
    weights = (model / "model.safetensors").read_bytes()
    end = 8 + int.from_bytes(weights[:8], "little")
    strategies = [
        st.tuples(
            st.just("model.safetensors"), spoilt_bytes([weights[:end]]).map(lambda head: head + weights[end:])
        )
    ]
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        content = (model / name).read_bytes()
        spoilt = st.one_of(spoilt_json(json.loads(content)), spoilt_bytes([content]))
        strategies.append(st.tuples(st.just(name), spoilt))
    return st.one_of(strategies)


def _can_be_passed(word: str) -> bool:
    return "\0" not in word


def _wrong(call: Callable[[], object], folder: Path | None = None) -> str:
    """Return what is wrong with how a call ends, and with what it leaves in a folder."""
    before = tree(folder) if folder else {}
    try:
        call()
    except PkdError as error:
        if "\n" in str(error) or not str(error):
            return f"said {str(error)!r}"
    except BaseException as error:  # some libraries' own panics are no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}"
    return "files were changed" if folder and tree(folder) != before else ""


def _feed_reader(raw: Path, fed: tuple[Path, bytes]) -> str:
    path, content = fed
    task = load_task(path.parent.name, raw)
    good = path.read_bytes()
    path.write_bytes(content)
    try:
        return _wrong(lambda: list(read_examples(path, task, task.split(path.stem))), path.parent)
    finally:
        path.write_bytes(good)


def _feed_task_file(raw: Path, content: bytes) -> str:
    path = raw / "Tiny" / "task.toml"
    good = path.read_bytes()
    path.write_bytes(content)
    try:
        return _wrong(lambda: load_task("Tiny", raw), path.parent)
    finally:
        path.write_bytes(good)


def _feed_words(given: list[str]) -> str:
    return _wrong(lambda: build_settings(parse_assignments(given)))


def _feed_values(given: Mapping[str, Any]) -> str:
    return _wrong(lambda: build_run_config(**{"tasks": ["Tiny"], **given}))


def _feed_preset(asked: tuple[str, str, int, int]) -> str:
    return _wrong(lambda: build_settings(preset_for(*asked).settings))


def _feed_command_line(workspace: Path, model: Path, fed: tuple[str, list[str]]) -> str:
    command, line = fed
    # A run that might be a good one is asked for nonsense as well: it must stop before anything runs.
    nonsense = ["tokens.max_length=0"] if command == "run" else []
    options = ["--model", str(model)] if command in ("plan", "run") else []
    return _wrong(lambda: _run(command, *options, *nonsense, *line), workspace.parent)


def _feed_model(workspace: Path, model: Path, fed: tuple[str, bytes]) -> str:
    name, content = fed
    good = (model / name).read_bytes()
    (model / name).write_bytes(content)
    try:
        wrong = _wrong(lambda: _run("plan", "Tiny", "--model", str(model)), workspace.parent)
        return wrong or _wrong(
            lambda: build_classifier(model, load_task("Tiny", workspace / "data_raw"), 1), model
        )
    finally:
        (model / name).write_bytes(good)


def _run(*arguments: str) -> None:
    """Run `pkd` here.

    Raises:
        AssertionError: It ends with a status, or says something, that a user cannot make sense of.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(list(arguments))
        except SystemExit as ended:
            status = ended.code
    err.seek(0)
    said = err.read()
    if status == 2:
        # Ours is one line; typer's own are two or four.
        assert re.fullmatch(r"pkd: [^\n]+\.\n|(Usage: [^\n]+\n[^\n]+\n\n)?Error: [^\n]+\n", said), said
    else:
        assert (status, said) == (0, ""), f"status {status}: {said}"
