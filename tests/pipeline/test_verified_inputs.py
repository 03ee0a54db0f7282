"""What a stage publishes was made from the bytes that it names: inputs damaged or replaced behind its back."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny import QUICK_SETTINGS, write_tiny_model, write_tiny_task

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import PkdError, StoreError
from pkd_core.pipeline.build import TrackStage
from pkd_core.pipeline.local import log_progress, run_plan
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.observer import LogObserver, Observer
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import read_manifest
from pkd_core.store.stage_store import StageStatus

OPTIONS = RunOptions(device="cpu")


def plan_of(root: Path, *methods: str, deep: bool = False) -> Plan:
    run = build_run_config(
        tasks=["Tiny"],
        methods=list(methods),
        seeds=[1],
        model=str(root / "model"),
        settings=QUICK_SETTINGS,
    )
    return make_plan(run, root, deep, device="cpu")


def digests(plan: Plan) -> dict[str, str]:
    """Return the digest of each published stage that holds no measured speed."""
    folders = {one.stage.key: plan.workspace / one.stage.address.folder for one in plan.stages}
    return {
        key: read_manifest(folder).digest
        for key, folder in folders.items()
        if folder.is_dir() and not any(kind in key for kind in ("speed", "evaluation", "report"))
    }


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which everything is done but patient distillation, and the digests of all of it."""
    root = tmp_path_factory.mktemp("finetuned")
    write_tiny_task(root / "data_raw")
    write_tiny_model(root / "model")
    run_plan(plan_of(root, "kd"), OPTIONS)
    return root


@pytest.fixture(scope="module")
def undisturbed(finetuned: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = copy_of(finetuned, tmp_path_factory.mktemp("undisturbed"))
    plan = plan_of(root, "kd", "pkd-skip")
    run_plan(plan, OPTIONS)
    return digests(plan)


def copy_of(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, dirs_exist_ok=True)
    return target


def flip_bit(path: Path) -> None:
    """Change one bit in the middle of a file, and keep its size and its time."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("damaged", "reader"),
    [
        ("Tiny/tokens/train-*.parquet", "Tiny/pkd-skip-2l-s1"),
        ("Tiny/teacher-states/states-*.arrow", "Tiny/pkd-skip-2l-s1"),
        ("Tiny/speed-2l/speed.json", "Tiny/evaluation-pkd-skip-2l-s1"),
    ],
)
def test_an_input_damaged_at_equal_size_is_not_used_and_the_next_run_builds_it_again(
    damaged: str, reader: str, finetuned: Path, undisturbed: Mapping[str, str], tmp_path: Path
) -> None:
    root = copy_of(finetuned, tmp_path)
    plan = plan_of(root, "kd", "pkd-skip")
    key, _, name = damaged.rpartition("/")
    (folder,) = (root / one.stage.address.folder for one in plan.stages if one.stage.key == key)
    (path,) = folder.glob(name)
    flip_bit(path)
    with pytest.raises(StoreError) as caught:
        run_plan(plan, OPTIONS)
    (backup,) = folder.parent.glob(".aside/*")
    assert str(caught.value) == (
        f"{reader} needs {folder.relative_to(root)} as it was published, but {path.name} has other bytes "
        f"than were published; it was moved to {backup}: run again."
    )
    statuses = {one.stage.key: one.status for one in plan_of(root, "kd", "pkd-skip").stages}
    assert statuses[reader] is StageStatus.MISSING

    run_plan(plan_of(root, "kd", "pkd-skip"), OPTIONS)
    assert digests(plan) == undisturbed
    assert all(one.status is StageStatus.DONE for one in plan_of(root, "kd", "pkd-skip", deep=True).stages)


def test_a_manifest_whose_facts_were_changed_is_damaged(finetuned: Path, tmp_path: Path) -> None:
    root = copy_of(finetuned, tmp_path)
    (path,) = root.glob("artifacts/Tiny/kd-2l-s1-*/manifest.json")
    path.write_text(path.read_text().replace('"best_epoch": ', '"best_epoch": 1'))
    (damaged,) = (one for one in plan_of(root, "kd").stages if one.status is not StageStatus.DONE)
    assert damaged.status is StageStatus.DAMAGED
    assert damaged.reason == "manifest.json has other content than was written"


def replacing(key: str, path: Path, change: Callable[[Path], None], puts_back: bool) -> TrackStage:
    """Return a tracker that changes a file once a stage computes, and puts it back while that goes on."""

    class Replaces(LogObserver):
        has_replaced = False

        def progress(self, done: int, total: int, unit: str) -> None:
            if not Replaces.has_replaced:
                Replaces.has_replaced = True
                status, content = path.stat(), path.read_bytes()
                change(path)
                if puts_back:
                    path.write_bytes(content)
                    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    @contextmanager
    def track(stage: Stage, inputs: Mapping[str, StageRecord], resumes: bool) -> Iterator[Observer]:
        if stage.key == key:
            yield Replaces(key)
        else:
            with log_progress(stage, inputs, resumes) as observer:
                yield observer

    return track


@pytest.mark.parametrize("puts_back", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("Tiny/tokens", "data_raw/Tiny/train.tsv"),
        ("Tiny/tokens", "model/tokenizer.json"),
        ("Tiny/teacher", "model/model.safetensors"),
        ("Tiny/speed-2l", "model/model.safetensors"),
        ("Tiny/pkd-skip-2l-s1", "data_feat/Tiny/teacher-states-*/states-00000.arrow"),
    ],
)
def test_an_input_that_changes_while_a_stage_reads_it_fails_the_stage(
    key: str, file: str, puts_back: bool, finetuned: Path, undisturbed: Mapping[str, str], tmp_path: Path
) -> None:
    root = copy_of(finetuned, tmp_path)
    if not key.startswith("Tiny/pkd"):
        shutil.rmtree(root / "data_feat")
        shutil.rmtree(root / "artifacts")
    plan = plan_of(root, "kd", "pkd-skip")
    (path,) = root.glob(file)
    original = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        run_plan(plan, OPTIONS, replacing(key, path, flip_bit, puts_back))
    assert str(caught.value) == (
        f"{key} needs {path} to stay as it is while it is read, and it has changed; run again."
    )
    assert key not in digests(plan)
    path.write_bytes(original)
    run_plan(plan_of(root, "kd", "pkd-skip"), OPTIONS)
    assert digests(plan) == undisturbed


@pytest.mark.parametrize(
    ("key", "part", "file"),
    [
        ("Tiny/tokens", "raw/train", "data_raw/Tiny/train.tsv"),
        ("Tiny/tokens", "tokenizer", "model/tokenizer_config.json"),
        ("Tiny/teacher", "pretrained", "model/model.safetensors"),
        ("Tiny/teacher", "pretrained", "model/config.json"),
    ],
)
def test_a_source_replaced_after_the_plan_is_not_published_at_the_address_of_the_old_one(
    key: str, part: str, file: str, finetuned: Path, tmp_path: Path
) -> None:
    root = copy_of(finetuned, tmp_path)
    shutil.rmtree(root / "data_feat")
    shutil.rmtree(root / "artifacts")
    plan = plan_of(root, "kd")
    with (root / file).open("a", encoding="utf-8") as added:
        added.write("\n")
    with pytest.raises(StoreError) as caught:
        run_plan(plan, OPTIONS)
    assert str(caught.value) == (
        f"{key} needs {part} as it was when the run was planned, and it has changed since; "
        "run again to use what is there now."
    )
    assert key not in digests(plan)


def test_a_tokenizer_replaced_during_a_training_is_not_published_with_the_model(
    finetuned: Path, undisturbed: Mapping[str, str], tmp_path: Path
) -> None:
    root = copy_of(finetuned, tmp_path)
    plan, path = plan_of(root, "kd", "pkd-skip"), root / "model" / "tokenizer.json"
    original = path.read_bytes()
    tracker = replacing("Tiny/pkd-skip-2l-s1", path, flip_bit, puts_back=False)
    with pytest.raises(StoreError) as caught:
        run_plan(plan, OPTIONS, tracker)
    assert str(caught.value) == (
        f"Tiny/pkd-skip-2l-s1 needs the tokenizer that made its tokens, and {root / 'model'} has another one by now; "
        "run again."
    )
    assert "Tiny/pkd-skip-2l-s1" not in digests(plan)
    path.write_bytes(original)
    run_plan(plan_of(root, "kd", "pkd-skip"), OPTIONS)
    assert digests(plan) == undisturbed


def test_a_test_split_that_appears_after_the_plan_is_noticed(finetuned: Path, tmp_path: Path) -> None:
    root = copy_of(finetuned, tmp_path)
    shutil.rmtree(root / "data_feat")
    test = root / "data_raw" / "Tiny" / "test.tsv"
    content = test.read_bytes()
    test.unlink()
    plan = plan_of(root, "kd")
    test.write_bytes(content)
    with pytest.raises(PkdError, match="needs raw/test as it was when the run was planned"):
        run_plan(plan, OPTIONS)


def test_labels_changed_in_the_tasks_description_after_the_plan_change_nothing_of_the_run(
    finetuned: Path, undisturbed: Mapping[str, str], tmp_path: Path
) -> None:
    root = copy_of(finetuned, tmp_path)
    for area in ("data_feat", "artifacts"):
        shutil.rmtree(root / area)
    plan = plan_of(root, "kd")
    description = root / "data_raw" / "Tiny" / "task.toml"
    text = description.read_text()
    description.write_text(text.replace('["down", "up"]', '["up", "down"]'))
    assert description.read_text() != text
    run_plan(plan, OPTIONS)
    assert digests(plan).items() <= undisturbed.items()
