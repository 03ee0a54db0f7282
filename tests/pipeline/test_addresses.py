"""Whatever can change a result is part of its address: every setting, and every line of the user's task.toml."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import TASK_FILE, default_settings, write_tiny_model, write_tiny_task
from transformers import BertForMaskedLM

from pkd_core.config.overrides import build_run_config, setting_keys
from pkd_core.pipeline.plan import make_plan

Addresses = Callable[..., dict[str, str]]

STUDENTS = ("finetune", "kd", "kd.full", "pkd-skip")
DISTILLED = ("kd", "kd.full", "pkd-skip")
OTHER = {
    "auto": "float32",
    "pretrained-first": "teacher-first",
    "element_mean": "batch_mean",
    "float16": "float32",
    "adamw": "bert-adam",
    "all-steps": "full-batches",
    "second-text-longer": "first-text-longer",
    "kl": "dkd",
    "student.init": "teacher-skip",
}
SCORE_FILE = """\
texts = ["sentence"]
label = "label"
label_range = [0.0, 5.0]
metrics = ["pearson", "spearman"]
"""


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("addresses") / "model"
    write_tiny_model(folder, num_layers=6, kind=BertForMaskedLM)
    return folder


@pytest.fixture
def addresses(tmp_path: Path, model: Path) -> Addresses:
    """Plans a run with some settings, and returns each stage's fingerprint by its name, the report's too."""
    write_tiny_task(tmp_path / "data_raw")

    def plan(task_file: str = TASK_FILE, **settings: object) -> dict[str, str]:
        (tmp_path / "data_raw" / "Tiny" / "task.toml").write_text(task_file, encoding="utf-8")
        run = build_run_config(
            is_compression=True, tasks=["Tiny"], methods=STUDENTS, model=str(model), settings=settings
        )
        planned = make_plan(run, tmp_path).stages
        return {one.stage.name.replace("-3l-s42", ""): one.stage.fingerprint for one in planned}

    return plan


def evaluations(*models: str) -> set[str]:
    return {f"evaluation-{model}" for model in models}


def measured(*students: str) -> set[str]:
    return evaluations(*students) | {f"distances-{student}" for student in students}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


EVERYTHING = {
    "tokens", "teacher", "teacher-states", "speed-3l", "evaluation-teacher", *STUDENTS, *measured(*STUDENTS), "report"
}  # fmt: skip
# Stages of a run with varied copies, by the section of settings that they depend on.
READERS = {
    "tokens": EVERYTHING | {"transfer-set", "transfer-states"},
    "teacher": EVERYTHING - {"tokens", "speed-3l", "finetune", *evaluations("finetune")}
    | {"transfer-states"},
    "student": {*STUDENTS, *measured(*STUDENTS), "report"},
    "distill": {*DISTILLED, *measured(*DISTILLED), "report"},
    "states": {"teacher-states", "transfer-states", *DISTILLED, *measured(*DISTILLED), "report"}
    | {"distances-finetune"},
    "transfer": {"transfer-set", "transfer-states", *DISTILLED, *measured(*DISTILLED), "report"},
    "evaluation": {*evaluations("teacher", *STUDENTS), "report"},
    "speed": {"speed-3l", *evaluations(*STUDENTS), "report"},
    # Of `pkd compress` alone.
    "latency": set(),
    "export": set(),
    "compute": EVERYTHING - {"tokens", "speed-3l"} | {"transfer-states"},
}
OF_PATIENCE = ("distill.beta", "distill.normalize", "distill.patience_reduction")
OF_HEADS = ("distill.first_head_layer", "distill.head_weight")


@pytest.mark.parametrize("key", setting_keys())
def test_a_setting_changes_the_addresses_of_its_readers_and_their_dependents(
    key: str, addresses: Addresses
) -> None:
    base: dict[str, object] = {"transfer.num_copies": 1}
    if key.startswith("distill.dkd_"):
        base["distill.distillation_loss"] = "dkd"
    default = (default_settings() | base)[key]
    presets = addresses(**base)
    one, other = (False, True) if isinstance(default, bool) else (default, _another(default))
    apart = changed(addresses(**base | {key: one}), addresses(**base | {key: other}))
    expected = READERS[key.partition(".")[0]]
    if key in OF_PATIENCE:
        expected = {"pkd-skip", *measured("pkd-skip"), "report"}
    if key in OF_HEADS:
        expected = {"kd.full", *measured("kd.full"), "report"}
    assert apart == expected
    assert presets == addresses(**base)


def _another(default: object) -> object:
    if isinstance(default, str):
        return OTHER[default]
    assert isinstance(default, int | float)
    return default + 1 if isinstance(default, int) else default / 2 or 0.5


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('["down", "up"]', '["up", "down"]', EVERYTHING),
        ('index = "index"\n', "", EVERYTHING),
        ('["accuracy", "f1"]', '["f1", "accuracy"]', EVERYTHING - {"tokens", "speed-3l"}),
        ('["accuracy", "f1"]', '["accuracy"]', {*evaluations("teacher", *STUDENTS), "report"}),
        ('label = "label"\n', 'label = "label"  # 0 or 1\n', set()),
    ],
    ids=["labels in another order", "no index", "another first metric", "one metric less", "a comment"],
)
def test_a_line_of_the_task_file_changes_the_addresses_that_depend_on_it(
    old: str, new: str, expected: set[str], addresses: Addresses
) -> None:
    assert old in TASK_FILE
    assert changed(addresses(), addresses(TASK_FILE.replace(old, new))) == expected


def test_a_changed_label_range_changes_every_address(addresses: Addresses) -> None:
    before, after = addresses(SCORE_FILE), addresses(SCORE_FILE.replace("5.0", "1.0"))
    assert changed(before, after) == EVERYTHING


def test_several_labels_instead_of_one_change_every_address(addresses: Addresses) -> None:
    one = TASK_FILE.replace('"accuracy", "f1"', '"macro_f1"')
    assert changed(addresses(one), addresses(one + "multi_label = true\n")) == EVERYTHING
    assert addresses(one) == addresses(one + "multi_label = false\n")
