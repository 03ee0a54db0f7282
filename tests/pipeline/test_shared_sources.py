"""Raw data and models of a workspace that several machines share: every machine reads the bytes that were planned."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import QUICK_SETTINGS, write_tiny_glue, write_tiny_model, write_tiny_task

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import StoreError
from pkd_core.pipeline.build import build
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.local import log_progress
from pkd_core.pipeline.plan import Plan, make_plan
from pkd_core.pipeline.task_data import bring_data, send_data
from pkd_core.store.attached import attach, place_of
from pkd_core.store.fingerprint import hash_file

OPTIONS = RunOptions(device="cpu")
# Attaches to the place from a machine of a name.
Machine = Callable[[str], Path]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Two machines: each with a cache and a current folder of its own, and one shared folder."""

    def attach_from(name: str) -> Path:
        (tmp_path / name / "here").mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv("PKD_CACHE", str(tmp_path / name / "cache"))
        monkeypatch.chdir(tmp_path / name / "here")
        return attach((tmp_path / "shared").as_uri())

    (tmp_path / "shared").mkdir()
    return attach_from


def planned(workspace: Path, model: Path) -> Plan:
    run = build_run_config(
        tasks=["Tiny"], methods=["finetune"], seeds=[1], model=str(model), settings=QUICK_SETTINGS
    )
    bring_data(workspace, ["Tiny"])
    return make_plan(run, workspace, device="cpu")


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_another_machine_reads_the_planned_data_and_model_without_having_either(
    machine: Machine, tmp_path: Path
) -> None:
    first = machine("a")
    write_tiny_task(Path("data_raw"))
    write_tiny_model(Path("bert"))
    data, model = contents(Path("data_raw")), contents(Path("bert"))
    plan = planned(first, Path("bert"))
    sent, stage = copy.deepcopy((plan.context(OPTIONS), plan.stages[0].stage))
    record = build(plan.stages[0].stage, {}, plan.context(OPTIONS), log_progress)
    shutil.rmtree(tmp_path / "a")

    second = machine("b")
    there = sent.here()
    assert there.workspace == second
    assert not (second / "sources").exists()
    assert contents(there.data_raw("Tiny")) == data
    assert there.model.short_name == "bert"
    assert contents(there.folder_of(there.model)) == {
        name: content for name, content in model.items() if name != "README.md"
    }
    again = build(stage, {}, there, log_progress)
    assert (again.digest, again.path) == (record.digest, record.path)


def test_a_workspace_of_one_machine_reads_its_own_folders(tmp_path: Path) -> None:
    write_tiny_task(tmp_path / "data_raw")
    write_tiny_model(tmp_path / "bert")
    context = planned(tmp_path, tmp_path / "bert").context(OPTIONS)
    assert context.here() is context
    assert context.data_raw("Tiny") == tmp_path / "data_raw"
    assert context.folder_of(context.model) == tmp_path / "bert"
    assert not (tmp_path / "sources").exists()


def test_two_versions_of_a_task_do_not_disturb_each_other(machine: Machine) -> None:
    workspace = machine("a")
    write_tiny_model(Path("bert"))
    write_tiny_task(Path("data_raw"))
    before = planned(workspace, Path("bert")).context(OPTIONS)
    dev = Path("data_raw/Tiny/dev.tsv")
    dev.write_text(dev.read_text(encoding="utf-8") + "a good film\tup\n", encoding="utf-8")
    after = planned(workspace, Path("bert")).context(OPTIONS)

    machine("b")
    num_lines = [
        len((one.here().data_raw("Tiny") / "Tiny" / "dev.tsv").read_text(encoding="utf-8").splitlines())
        for one in (before, after)
    ]
    assert num_lines == [25, 26]


def test_a_task_s_name_is_enough_on_a_second_machine_and_its_own_data_come_first(machine: Machine) -> None:
    first = machine("a")
    write_tiny_task(Path("data_raw"))
    bring_data(first, ["Tiny"])
    send_data(first, "Tiny")
    data = contents(Path("data_raw"))

    second = machine("b")
    bring_data(second, ["Tiny", "Unknown"])
    assert contents(second / "data_raw" / "Tiny") == contents(first / "data_raw" / "Tiny")
    write_tiny_task(Path("data_raw"), num_dev=30)
    (second / "data_raw" / "Tiny" / "unlabelled.tsv").write_text("sentence\n", encoding="utf-8")
    bring_data(second, ["Tiny"])
    assert contents(second / "data_raw" / "Tiny") == contents(Path("data_raw/Tiny")) != data
    send_data(second, "Tiny")

    first = machine("a")
    shutil.rmtree("data_raw")
    bring_data(first, ["Tiny"])
    assert contents(first / "data_raw" / "Tiny") == contents(second / "data_raw" / "Tiny")


def test_only_the_files_of_a_task_are_sent_and_those_of_mnli_with_ax(machine: Machine) -> None:
    workspace = machine("a")
    write_tiny_glue(Path("data_raw"))
    Path("data_raw/RTE/notes.txt").write_text("no part of it", encoding="utf-8")
    mnli, diagnostics = Path("data_raw/MNLI"), Path("data_raw/AX")
    for folder in (mnli, diagnostics):
        folder.mkdir()
    for name in ("train", "dev_matched", "dev_mismatched"):
        (mnli / f"{name}.tsv").write_text(name, encoding="utf-8")
    (diagnostics / "AX.tsv").write_text("ax", encoding="utf-8")
    bring_data(workspace, ["RTE", "MNLI"])
    for name in ("RTE", "MNLI"):
        send_data(workspace, name)

    second = machine("b")
    bring_data(second, ["RTE", "MNLI"])
    assert {name for name in contents(second / "data_raw") if not name.endswith(".lock")} == {
        *("RTE/train.tsv", "RTE/dev.tsv", "AX/AX.tsv"),
        *("MNLI/train.tsv", "MNLI/dev_matched.tsv", "MNLI/dev_mismatched.tsv"),
    }


def test_an_interrupted_sending_is_continued_and_what_is_there_is_not_sent_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = machine("a")
    write_tiny_task(Path("data_raw"))
    bring_data(workspace, ["Tiny"])
    objects = place_of(workspace)
    assert objects is not None
    uploaded: list[str] = []
    upload = type(objects).upload

    def failing(self: object, path: Path, key: str) -> None:
        if len(uploaded) == 2:
            raise StoreError("the place does not answer.")
        uploaded.append(path.name)
        upload(objects, path, key)

    monkeypatch.setattr(type(objects), "upload", failing)
    with pytest.raises(StoreError, match="does not answer"):
        send_data(workspace, "Tiny")
    assert not [
        one.key for one in objects.list("") if "manifest" in one.key or one.key.startswith("data_raw")
    ]
    monkeypatch.setattr(
        type(objects),
        "upload",
        lambda self, path, key: (uploaded.append(path.name), upload(objects, path, key))[1],
    )
    send_data(workspace, "Tiny")
    send_data(workspace, "Tiny")
    assert uploaded == ["dev.tsv", "task.toml", "test.tsv", "train.tsv"]


def test_a_damaged_copy_of_a_source_is_fetched_again(machine: Machine) -> None:
    first = machine("a")
    write_tiny_task(Path("data_raw"))
    write_tiny_model(Path("bert"))
    plan = planned(first, Path("bert"))
    context: RunContext = plan.context(OPTIONS)
    machine("b")
    there = context.here()
    train = there.data_raw("Tiny") / "Tiny" / "train.tsv"
    intact = hash_file(train)
    train.write_text("sentence\tlabel\nbad\tdown\n", encoding="utf-8")
    with pytest.raises(StoreError, match="it has changed since; run again"):
        build(plan.stages[0].stage, {}, there, log_progress)
    assert hash_file(there.data_raw("Tiny") / "Tiny" / "train.tsv") == intact
    assert build(plan.stages[0].stage, {}, there, log_progress).stage == "tokens"


def test_bytes_that_were_changed_in_the_place_are_refused_in_one_sentence(
    machine: Machine, tmp_path: Path
) -> None:
    first = machine("a")
    write_tiny_task(Path("data_raw"))
    bring_data(first, ["Tiny"])
    digest = send_data(first, "Tiny")
    (tmp_path / "shared" / "sources" / digest / "files" / "Tiny" / "dev.tsv").write_text("", encoding="utf-8")
    second = machine("b")
    with pytest.raises(
        StoreError, match=f"has other bytes at sources/{digest} than were sent; delete that there"
    ):
        bring_data(second, ["Tiny"])
    assert not (second / "data_raw").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x"])
def test_names_that_lead_out_of_the_folder_are_refused(machine: Machine, tmp_path: Path, name: str) -> None:
    first = machine("a")
    write_tiny_task(Path("data_raw"))
    bring_data(first, ["Tiny"])
    digest = send_data(first, "Tiny")
    manifest = tmp_path / "shared" / "sources" / digest / "manifest.json"
    manifest.write_text(json.dumps({"files": [{"name": name, "size": 1}]}), encoding="utf-8")
    with pytest.raises(StoreError, match="a plain path inside its folder"):
        bring_data(machine("b"), ["Tiny"])
