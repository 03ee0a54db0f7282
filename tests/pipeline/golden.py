"""Golden results: what each kind of stage makes of one fixed task, model and seed.

`golden_results.json` holds, beside each stage's code version, the results of a tiny run. Text and whole numbers are
compared exactly, as a digest. Weights and states differ between CPUs in their last bits, so a few projections of them
are compared within a tolerance that every real change exceeds many times over.

After a change of results: raise the stage's version in CODE_VERSIONS, then run `make golden`.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.numpy import load_file
from tiny import write_tiny_model, write_tiny_task

from pkd_core.config.overrides import build_run_config, build_settings
from pkd_core.config.run_options import RunOptions
from pkd_core.config.search import build_search_config
from pkd_core.evaluation.distances_result import read_distances
from pkd_core.evaluation.speed_result import Speed
from pkd_core.export.bundle import PREDICT, SETTINGS, TOKENIZER
from pkd_core.export.bundle_predict import FLOAT32, Model
from pkd_core.pipeline.export_stages import export_stage
from pkd_core.pipeline.kinds import CODE_VERSIONS, StageKind
from pkd_core.pipeline.local import build_stages, run_plan
from pkd_core.pipeline.plan import Plan, find_inputs, make_plan, plan_stages
from pkd_core.pipeline.search import run_search
from pkd_core.pipeline.search_plan import Search
from pkd_core.store.address import StageRecord

RECORD = Path(__file__).with_name("golden_results.json")
# Of a vector of unit length: another CPU moves a projection by 1e-4 or less, the smallest change of the code that was
# tried (weight decay left out) by 5e-3.
TOLERANCE = 1e-3
_NUM_PROJECTIONS = 8
_MEASURE_SPEED = "pkd_core.pipeline.stages.speed.measure_speed"
_SPEED = Speed(1.5, 1.4, 1.6, 9, 4, 8, 6.0, 4.0, 3.0, 2.0, "a machine", 1)
_SETTINGS = {
    "compute.threads": 1,
    "tokens.max_length": 12,
    "teacher.num_epochs": 3,
    "teacher.learning_rate": 2e-3,
    "teacher.batch_size": 8,
    "teacher.precision": "float32",
    "teacher.weight_decay": 0.5,
    "student.num_epochs": 2,
    "student.learning_rate": 2e-3,
    "student.batch_size": 8,
    "student.accumulation_steps": 2,
    "student.max_grad_norm": 0.5,
    "student.precision": "float32",
    "distill.alpha": 0.3,
    "distill.temperature": 3.0,
    "distill.beta": 20.0,
    "distill.distillation_reduction": "batch_mean",
    "distill.patience_reduction": "element_mean",
}
# Of the report's text; distances differ between CPUs in their last digits, and are compared by themselves.
_DISTANCE = re.compile(r'(?<="before": )[\d.e-]+|(?<="after": )[\d.e-]+|[\d.]+(?= →)|(?<=→ )[\d.]+')
# Of a run with varied copies, the stages that differ.
_OF_COPIES = {
    "transfer-set": StageKind.TRANSFER,
    "transfer-states": StageKind.STATES,
    "kd-2l-s1": StageKind.STUDENT,
}

# Of a run whose teacher is the classifier that another run has trained, the stages that differ.
_OF_OWN_TEACHER = {
    "teacher": StageKind.OWN_TEACHER,
    "evaluation-teacher": StageKind.EVALUATION,
    "teacher-states": StageKind.STATES,
}

Result = str | list[float]


def golden_results(workspace: Path) -> dict[str, dict[str, Result]]:
    """Run the tiny pipeline in an empty folder, and return each stage's result by its kind and name."""
    write_tiny_task(workspace / "data_raw")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        write_tiny_model(workspace / "model")
    run = build_run_config(tasks=["Tiny"], seeds=[1], model=str(workspace / "model"), settings=_SETTINGS)
    plan = make_plan(run, workspace, device="cpu")
    # The figures that are measured instead of computed.
    with mock.patch(_MEASURE_SPEED, return_value=_SPEED):
        records = run_plan(plan, RunOptions(device="cpu"))
    with_copies = run.model_copy(
        update={"methods": ("kd",), "settings": _SETTINGS | {"transfer.num_copies": 2}}
    )
    plan_with_copies = make_plan(with_copies, workspace)
    copied = run_plan(plan_with_copies, RunOptions(device="cpu"))
    taught = _take_own_teacher(workspace, workspace / records["Tiny/teacher"].path)
    searched = _search(workspace)
    start = load_file(workspace / "model" / "model.safetensors")
    results: dict[str, dict[str, Result]] = {kind.value: {} for kind in StageKind}
    for planned in plan.stages:
        stage = planned.stage
        folder = workspace / records[stage.key].path
        results[stage.kind][stage.name] = _result(stage.kind, folder, start)
    for name, kind in _OF_COPIES.items():
        folder = workspace / copied[f"Tiny/{name}"].path
        results[kind][f"{name}, with copies"] = _result(kind, folder, start)
    for name, kind in _OF_OWN_TEACHER.items():
        results[kind][f"{name}, own"] = _result(kind, workspace / taught[f"Tiny/{name}"].path, start)
    results[StageKind.SEARCH]["search"] = _result(StageKind.SEARCH, searched, start)
    results[StageKind.EXPORT] |= _export(workspace, plan, records)
    return results


def _take_own_teacher(workspace: Path, folder: Path) -> dict[str, StageRecord]:
    """Take a classifier as the teacher, and return the records of the stages up to its states."""
    settings = {key: value for key, value in _SETTINGS.items() if not key.startswith("teacher.")}
    run = build_run_config(
        tasks=["Tiny"], methods=["pkd-skip"], seeds=[1], teachers=[str(folder)], settings=settings
    )
    plan = make_plan(run, workspace, device="cpu")
    (last,) = (number for number, one in enumerate(plan.stages) if one.stage.name == "teacher-states")
    return run_plan(replace(plan, stages=plan.stages[: last + 1]), RunOptions(device="cpu"))


def _search(workspace: Path) -> Path:
    """Search among two temperatures, one of which is trained already, and return the report's folder."""
    tried = {"alpha": [0.3], "temperature": [3.0, 6.0], "learning_rate": [2e-3], "choose_on": "dev"}
    set_otherwise = ("distill.alpha", "distill.temperature", "student.learning_rate", "distill.beta")
    fixed = {key: value for key, value in _SETTINGS.items() if key not in set_otherwise}
    del fixed["distill.patience_reduction"]
    run = build_run_config(
        tasks=["Tiny"], methods=["kd"], seeds=[1], model=str(workspace / "model"), settings=fixed
    )
    search = Search(run, build_search_config(tried), workspace, find_inputs(run, workspace, "cpu"))
    options = RunOptions(device="cpu")
    outcome = run_search(search, lambda plan, known: build_stages(plan, options, known=known))
    return workspace / outcome.search_report.path


def _export(workspace: Path, plan: Plan, records: Mapping[str, StageRecord]) -> dict[str, Result]:
    """Export a student; return its bundle's outputs for a few texts, and its other files."""
    inputs, settings = find_inputs(plan.run, workspace, "cpu"), build_settings(_SETTINGS)
    student = next(one.stage for one in plan.stages if one.stage.name == "kd-2l-s1")
    stage = export_stage(plan.tasks["Tiny"], settings, student, inputs.raw_hashes["Tiny"])
    planned = plan_stages(plan.run, workspace, inputs, [stage], known=records)
    folder = workspace / build_stages(planned, RunOptions(device="cpu"), known=records)[stage.key].path
    texts = [
        path.read_text(encoding="utf-8") for path in map(folder.joinpath, (SETTINGS, TOKENIZER, PREDICT))
    ]
    logits = Model(folder, FLOAT32).logits(["good film", "the play was bad", "not a very fine book"])
    return {"kd-2l-s1": _projections([100 * logits]), "its files": _digest("".join(texts))}


def _result(kind: StageKind, folder: Path, start: Mapping[str, np.ndarray]) -> Result:
    match kind:
        case StageKind.TOKENS | StageKind.TRANSFER:
            columns = {path.name: pq.read_table(path).to_pydict() for path in folder.glob("*.parquet")}
            return _digest(json.dumps(columns, sort_keys=True))
        case StageKind.TEACHER | StageKind.OWN_TEACHER | StageKind.STUDENT:
            return _projections(_updates(load_file(folder / "model.safetensors"), start))
        case StageKind.STATES:
            return _projections(_states(folder / "states-00000.arrow"))
        case StageKind.SPEED:
            files = [folder / "speed.json"]
        case StageKind.DISTANCES:
            return _projections([np.array(_distances(folder))])
        case StageKind.EVALUATION:
            files = [folder / "evaluation.json", folder / "submission" / "Tiny.tsv"]
        case StageKind.SEARCH:
            files = [folder / name for name in ("search.json", "search.md", "search.txt")]
        case StageKind.REPORT:
            files = [folder / name for name in ("report.json", "report.md", "report.txt")]
    return _digest(_DISTANCE.sub("", "".join(path.read_text(encoding="utf-8") for path in files)))


def _updates(weights: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return how far training moved each weight; a new classifier is taken as it ends.

    Left out are the keys' biases: the softmax cancels them, so their gradient is rounding alone, which Adam scales up.
    """
    before = {f"bert.{name}": value for name, value in start.items()}
    named = sorted(name for name in weights if not name.endswith("attention.self.key.bias"))
    return [weights[name].astype(np.float64) - before.get(name, 0.0) for name in named]


def _states(shard: Path) -> list[np.ndarray]:
    with pa.ipc.open_file(shard) as reader:
        table = reader.read_all()
    order = np.argsort(table["example_id"].to_numpy())
    columns = [np.array(table[name].to_pylist(), dtype=np.float64) for name in ("logits", "cls_states")]
    return [column[order] for column in columns]


def _distances(folder: Path) -> list[float]:
    return [value for layer in read_distances(folder).layers for value in (layer.before, layer.after)]


def _projections(arrays: list[np.ndarray]) -> list[float]:
    """Return the length of all arrays on end, and that vector, scaled to length 1, seen from a few directions."""
    values = np.concatenate([array.ravel() for array in arrays])
    length = float(np.linalg.norm(values))
    directions = np.random.default_rng(0).standard_normal((_NUM_PROJECTIONS, len(values)))
    return [round(length, 4), *(round(float(value), 5) for value in directions @ values / length)]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def agree(recorded: Result, found: Result) -> bool:
    """Compare a result with the recorded one: text exactly, numbers within the tolerance."""
    if isinstance(recorded, str) or isinstance(found, str):
        return recorded == found
    (length, *seen), (found_length, *found_seen) = recorded, found
    return abs(found_length / length - 1) < TOLERANCE and np.allclose(
        seen, found_seen, rtol=0, atol=TOLERANCE
    )


def read_record() -> dict[str, Any]:
    """Return the recorded code version and results of each kind of stage."""
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record


def write_record() -> None:
    """Write versions and results as they are now."""
    with tempfile.TemporaryDirectory() as folder:
        results = golden_results(Path(folder))
    record = {
        kind.value: {"code_version": CODE_VERSIONS[kind], "results": results[kind]} for kind in StageKind
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_record()
