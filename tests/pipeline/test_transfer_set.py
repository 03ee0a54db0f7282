"""A run with a transfer set: unlabelled texts and varied copies, labelled by the teacher, which students learn from."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import QUICK_SETTINGS, write_tiny_model, write_tiny_task
from transformers import BertForMaskedLM

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.data.token_table import TokenTable
from pkd_core.data.transfer_set import FIRST_ID
from pkd_core.errors import ConfigError, DataError, ModelError
from pkd_core.pipeline.estimate import estimate_seconds
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.plan import Plan, PlannedStage, make_plan
from pkd_core.pipeline.position import Position
from pkd_core.pipeline.specs import StudentSpec
from pkd_core.runtime.device import model_of
from pkd_core.store.address import StageRecord
from pkd_core.store.durations import Duration, append_duration, read_durations
from pkd_core.store.stage_store import StageStore
from pkd_core.store.work_folder import prepare_work, resume_folder
from pkd_core.teacher_states.reader import TeacherStates
from pkd_core.training.checkpoints import Checkpoint, Checkpoints

CPU = RunOptions(device="cpu")
UNLABELLED = ["good film was fine", "bad play seemed poor", "good film was fine", "the song was very good"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tiny_task(tmp_path / "data_raw", num_train=20, num_dev=8)
    write_tiny_model(tmp_path / "model")
    return tmp_path


def plan_of(root: Path, methods: tuple[str, ...] = ("finetune", "pkd-skip"), **settings: Any) -> Plan:
    keys = {f"transfer.{key}": value for key, value in settings.items()}
    run = build_run_config(
        tasks=["Tiny"], methods=methods, seeds=[1], model=str(root / "model"), settings=QUICK_SETTINGS | keys
    )
    return make_plan(run, root)


def write_unlabelled(root: Path, texts: list[str]) -> Path:
    path = root / "data_raw" / "Tiny" / "unlabelled.tsv"
    path.write_text("\n".join(["sentence", *texts]) + "\n", encoding="utf-8")
    return path


def addresses(plan: Plan) -> dict[str, str]:
    return {one.stage.name: one.stage.fingerprint for one in plan.stages}


@pytest.fixture
def root_with_head(root: Path) -> Path:
    """A workspace whose model has a masked-language head, with random weights."""
    shutil.rmtree(root / "model")
    torch.manual_seed(0)
    write_tiny_model(root / "model", kind=BertForMaskedLM)
    return root


def run(plan: Plan) -> dict[str, StageRecord]:
    return dict(run_plan(plan, CPU))


def test_unlabelled_texts_move_the_distilled_students_alone(root: Path) -> None:
    before = addresses(plan_of(root))
    path = write_unlabelled(root, UNLABELLED)
    after = addresses(plan_of(root))
    assert after.keys() - before.keys() == {"transfer-set", "transfer-states"}
    moved = {name for name in before if before[name] != after[name]}
    student = "pkd-skip-2l-s1"
    assert moved == {student, f"evaluation-{student}", f"distances-{student}", "report"}
    assert addresses(plan_of(root, unlabelled=False)) == before
    path.write_text(path.read_text(encoding="utf-8") + "a good book\n", encoding="utf-8")
    assert addresses(plan_of(root))["transfer-set"] != after["transfer-set"]


def test_plain_fine_tuning_alone_makes_no_transfer_set(root: Path) -> None:
    write_unlabelled(root, UNLABELLED)
    assert "transfer-set" not in addresses(plan_of(root, methods=("finetune",)))


def test_a_run_learns_from_texts_without_labels(root: Path) -> None:
    train_text = (root / "data_raw" / "Tiny" / "train.tsv").read_text(encoding="utf-8").splitlines()[1]
    dev_text = (root / "data_raw" / "Tiny" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1]
    known = [line.split("\t")[0] for line in (train_text, dev_text)]
    write_unlabelled(root, [*UNLABELLED, *known])
    plan = plan_of(root, num_copies=3)
    records = run(plan)
    facts = records["Tiny/transfer-set"].facts
    # One text comes twice, one is in train and one in dev.
    assert facts["num_unlabelled"] == 3
    assert 40 < facts["num_copies"] <= 60
    table = TokenTable.load(root / records["Tiny/transfer-set"].path, "transfer")
    total = facts["num_unlabelled"] + facts["num_copies"]
    assert table.example_ids_R.tolist() == list(range(FIRST_ID, FIRST_ID + total))
    assert table.labels_R is None
    folders = [root / records[f"Tiny/{name}"].path for name in ("teacher-states", "transfer-states")]
    states = TeacherStates.open(*folders)
    assert states.example_ids_R.tolist() == [*range(20), *table.example_ids_R.tolist()]
    steps = {name: records[f"Tiny/{name}-2l-s1"].facts["num_steps"] for name in ("finetune", "pkd-skip")}
    batch_size = _spec(plan, "pkd-skip-2l-s1").training.batch_size
    assert steps == {"finetune": -(-20 // batch_size), "pkd-skip": -(-(20 + total) // batch_size)}
    assert {one.status.value for one in plan_of(root, num_copies=3).stages} == {"done"}


def leave_checkpoint(plan: Plan, name: str, step: int) -> None:
    """Leave what a training that was killed at a step leaves, its inputs being published."""
    digests = {
        one.stage.key: StageStore(plan.workspace).find_manifest(one.stage.address) for one in plan.stages
    }
    (stage,) = (one.stage for one in plan.stages if one.stage.name == name)
    inputs = {part: manifest.digest for part, key in stage.inputs.items() if (manifest := digests[key])}
    assert inputs.keys() == stage.inputs.keys()
    work = plan.workspace / stage.address.work_folder
    work.parent.mkdir(parents=True, exist_ok=True)
    prepare_work(work, inputs | dict(stage.sources))
    Checkpoints(resume_folder(work), work, 1.0).save(Checkpoint({"weight": torch.zeros(1)}, {"step": step}))


def planned(plan: Plan, name: str) -> PlannedStage:
    (one,) = (one for one in plan.stages if one.stage.name == name)
    return one


def test_a_plan_counts_steps_and_work_over_train_and_the_transfer_set(root: Path) -> None:
    unlabelled = write_unlabelled(root, [f"{text} {other}" for text in UNLABELLED for other in UNLABELLED])
    plan = plan_of(root, methods=("finetune", "kd"), num_copies=2)
    needed = ("tokens", "teacher", "evaluation-teacher", "teacher-states", "transfer-set", "transfer-states")
    records = run(replace(plan, stages=tuple(one for one in plan.stages if one.stage.name in needed)))
    facts = records["Tiny/transfer-set"].facts
    rows = 20 + facts["num_unlabelled"] + facts["num_copies"]
    for name in ("finetune-2l-s1", "kd-2l-s1"):
        leave_checkpoint(plan, name, 1)
    plan = plan_of(root, methods=("finetune", "kd"), num_copies=2)
    batch_size = _spec(plan, "kd-2l-s1").training.batch_size
    assert rows > 20 + batch_size
    steps, all_steps = -(-20 // batch_size), -(-rows // batch_size)
    assert planned(plan, "finetune-2l-s1").position == Position(1, steps)
    assert planned(plan, "kd-2l-s1").position == Position(1, all_steps)

    train = (root / "data_raw" / "Tiny" / "train.tsv").stat().st_size
    further = unlabelled.stat().st_size + 2 * train
    states = [one.amount for one in read_durations(root) if one.kind == "teacher-states"]
    assert sorted(states) == sorted([train, further])
    assert [one.amount for one in read_durations(root) if one.kind == "transfer-set"] == [further]
    # Students have 2 layers, and are trained for one epoch.
    append_duration(root, Duration("student", model_of(torch.device("cpu")), 1, 32, 2 * train, 10.0))
    estimates = estimate_seconds(plan, torch.device("cpu"))
    assert estimates["Tiny/finetune-2l-s1"] == pytest.approx(10.0 * (steps - 1) / steps)
    expected = 10.0 * (train + further) / train * (all_steps - 1) / all_steps
    assert estimates["Tiny/kd-2l-s1"] == pytest.approx(expected)

    shutil.rmtree(root / records["Tiny/transfer-set"].path)
    assert planned(plan_of(root, methods=("finetune", "kd"), num_copies=2), "kd-2l-s1").position is None


def _spec(plan: Plan, name: str) -> StudentSpec:
    (spec,) = (one.stage.spec for one in plan.stages if one.stage.name == name)
    assert isinstance(spec, StudentSpec)
    return spec


def test_a_transfer_set_is_the_same_in_every_workspace(root: Path) -> None:
    write_unlabelled(root, UNLABELLED)
    digests = []
    for _ in range(2):
        (root / "data_feat").mkdir(exist_ok=True)
        digests.append(run(plan_of(root, num_copies=2))["Tiny/transfer-set"].digest)
        (root / "data_feat").rename(root / f"moved-{len(digests)}")
    assert digests[0] == digests[1]


def test_texts_that_are_all_known_are_refused_in_one_sentence(root: Path) -> None:
    text = (
        (root / "data_raw" / "Tiny" / "train.tsv").read_text(encoding="utf-8").splitlines()[1].split("\t")[0]
    )
    write_unlabelled(root, [text])
    with pytest.raises(
        DataError, match=r"the transfer set of Tiny is empty, as every text is in train or dev too"
    ):
        run(plan_of(root))


def test_a_broken_line_of_the_unlabelled_texts_is_named(root: Path) -> None:
    write_unlabelled(root, ["good film", "bad\tfilm"])
    with pytest.raises(DataError, match=r"unlabelled\.tsv:3: expected 1 field, got 2"):
        run(plan_of(root))


def test_a_score_without_a_label_is_learnt_too(root: Path) -> None:
    folder = root / "data_raw" / "Tiny"
    task = 'texts = ["sentence"]\nlabel = "label"\nlabel_range = [0.0, 1.0]\nmetrics = ["pearson"]\nindex = "index"\n'
    (folder / "task.toml").write_text(task, encoding="utf-8")
    for split in ("train", "dev"):
        path = folder / f"{split}.tsv"
        text = path.read_text(encoding="utf-8").replace("\tup", "\t1.0").replace("\tdown", "\t0.25")
        path.write_text(text, encoding="utf-8")
    write_unlabelled(root, UNLABELLED)
    records = run(plan_of(root, methods=("kd",), num_copies=1))
    assert np.isfinite(records["Tiny/kd-2l-s1"].facts["best_score"])


def test_words_are_replaced_by_those_that_the_model_predicts(root_with_head: Path) -> None:
    changes = {"mask_probability": 0.0, "swap_probability": 0.0, "ngram_probability": 0.0}
    records = run(plan_of(root_with_head, methods=("kd",), num_copies=2, mlm_probability=0.3, **changes))
    folder = root_with_head / records["Tiny/transfer-set"].path
    table = TokenTable.load(folder, "transfer")
    train = TokenTable.load(root_with_head / records["Tiny/tokens"].path, "train")
    assert 30 < len(table) <= 40
    assert set(np.unique(table.lengths)) <= set(np.unique(train.lengths))
    # A copy differs from some example in about 0.3 of its words, and each of them is one of the 14 words.
    by_text = [train.input_ids[train.offsets[row] :][: train.lengths[row]] for row in range(len(train))]
    for row in range(len(table)):
        ids = table.input_ids[table.offsets[row] : table.offsets[row + 1]]
        assert (ids[0], ids[-1], ids[1:-1].min() >= 5) == (2, 3, True)
        differences = [int((ids != text).sum()) for text in by_text if len(text) == len(ids)]
        assert 1 <= min(differences) < len(ids) - 2


@pytest.mark.slow
def test_replaced_words_are_the_same_in_every_workspace_and_others_with_another_seed(
    root_with_head: Path,
) -> None:
    digests = []
    for seed in (0, 0, 1):
        plan = plan_of(root_with_head, methods=("kd",), num_copies=2, mlm_probability=0.5, seed=seed)
        digests.append(run(plan)["Tiny/transfer-set"].digest)
        (root_with_head / "data_feat").rename(root_with_head / f"moved-{len(digests)}")
    assert digests[0] == digests[1] != digests[2]


def test_a_model_without_a_head_is_refused_in_one_sentence_when_words_are_to_be_predicted(root: Path) -> None:
    sentence = (
        r"^transfer\.mlm_probability needs a model with a masked-language head \(cls\.predictions\), and \S+model has "
        r"none; set transfer\.mlm_probability=0, or choose a model that has one\.$"
    )
    with pytest.raises(ModelError, match=sentence):
        plan_of(root, num_copies=2, mlm_probability=0.3)
    plan_of(root, num_copies=2, mlm_probability=0.0)


def test_replacing_words_of_no_copies_is_refused(root_with_head: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"transfer\.mlm_probability has no effect without copies; set transfer\.num_copies too",
    ):
        plan_of(root_with_head, mlm_probability=0.3)


def test_only_predicted_words_make_model_and_threads_part_of_the_address(root_with_head: Path) -> None:
    plain = plan_of(root_with_head, num_copies=2)
    assert addresses(plan_of(root_with_head, num_copies=2, mlm_probability=0.0)) == addresses(plain)
    for one in plain.stages:
        assert "mlm_probability" not in json.dumps(one.stage.config)
    (stage,) = (one.stage for one in plain.stages if one.stage.name == "transfer-set")
    assert (set(stage.sources), stage.threads) == ({"tokenizer"}, None)
    planned = plan_of(root_with_head, num_copies=2, mlm_probability=0.3).stages
    (stage,) = (one.stage for one in planned if one.stage.name == "transfer-set")
    assert stage.sources["pretrained"] == plain.model.weights
    assert (stage.threads, stage.config["threads"]) == (1, 1)
