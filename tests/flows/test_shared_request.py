"""Workspaces that several machines share, as commands and deployments name them."""

import json
from pathlib import Path

import pytest
from command import run_pkd
from tiny import write_tiny_model, write_tiny_task

from flows import demo
from flows.compress.request import CompressRequest
from flows.environment import prepare_environment
from flows.latest_report import latest_report, record_latest
from flows.request import Request
from flows.search.request import SearchRequest
from flows.workspace import as_typed, given_workspace, open_workspace, workspace_name
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.data import download as downloading
from pkd_core.errors import ConfigError
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.plan import make_plan
from pkd_core.pipeline.task_data import bring_data
from pkd_core.store import network_folder
from pkd_core.store.address import Address, StageRecord
from pkd_core.store.run_records import read_run_records
from pkd_core.store.stage_store import StageStore
from tasks.run_stage import task_for


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A shared folder, and a machine whose current folder has the task Tiny and a model."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PKD_CACHE", str(tmp_path / "a"))
    write_tiny_task(Path("data_raw"))
    write_tiny_model(Path("bert"))
    return (tmp_path / "shared").as_uri()


def another_machine(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PKD_CACHE", str(tmp_path / "b"))
    (tmp_path / "there").mkdir()
    patch.chdir(tmp_path / "there")


def publish_report(workspace: Path) -> StageRecord:
    address = Address("artifacts", "reports", "report", "0123456789abcdef")
    store = StageStore(workspace)
    with store.writing(address, {}) as work:
        (work / "report.json").write_text('{"rows": []}', encoding="utf-8")
        (work / "report.txt").write_text("the table\n", encoding="utf-8")
        return store.publish(address, code_version=1, config={"presets": {}}, inputs={}, facts={})


@pytest.mark.parametrize("kind", [Request, SearchRequest, CompressRequest])
def test_a_deployment_is_told_the_url_and_not_a_folder_of_this_machine(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Request]
) -> None:
    values = {"data": "RTE"} if kind is CompressRequest else {"tasks": ["RTE"]}
    request = kind.build(values, given_workspace({"workspace": url}))
    assert request.workspace.is_relative_to(tmp_path / "a")
    assert request.parameters()["workspace"] == url
    another_machine(tmp_path, monkeypatch)
    assert given_workspace(request.parameters()).is_relative_to(tmp_path / "b")


def test_a_workspace_is_named_by_its_url_or_by_its_path(url: str, tmp_path: Path) -> None:
    shared = open_workspace(url)
    assert (workspace_name(shared), as_typed(shared)) == (url, url)
    assert (workspace_name(Path()), as_typed(Path())) == (str(tmp_path / "here"), ".")


def test_a_url_of_no_place_ends_in_a_sentence(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("report", "--workspace", "ftp://lab/pkd") == 2
    assert "needs s3://bucket/prefix, or file:///folder" in capsys.readouterr().err
    assert run_pkd("report", "--workspace", f"{url}/absent") == 2
    assert "must be a folder that this machine shares with the others" in capsys.readouterr().err


def test_the_latest_report_is_that_of_any_machine(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = open_workspace(url)
    assert latest_report(workspace) is None
    record = publish_report(workspace)
    record_latest(workspace, record)
    another_machine(tmp_path, monkeypatch)
    there = open_workspace(url)
    folder = latest_report(there)
    assert folder == there / record.path
    assert (folder / "report.txt").read_text(encoding="utf-8") == "the table\n"
    StageStore(there)._shared.place.delete(f"{record.path}/manifest.json")  # type: ignore[union-attr]
    assert latest_report(there) is None
    assert run_pkd("report", "--workspace", url) == 2
    assert "there is no report" in capsys.readouterr().err


def test_a_plan_a_record_and_their_cleaning_are_shared(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = open_workspace(url)
    model = str((tmp_path / "here" / "bert").resolve())
    bring_data(workspace, ["Tiny"])
    run = build_run_config(tasks=["Tiny"], methods=["finetune"], model=model)
    plan = make_plan(run, workspace, device="cpu")
    plan.context(RunOptions(device="cpu"))
    publish_report(workspace)
    with plan.recorded():
        pass
    another_machine(tmp_path, monkeypatch)
    assert (
        run_pkd("plan", "Tiny", "--methods", "finetune", "--model", model, "--workspace", url, "--json") == 0
    )
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [one["fingerprint"] for one in stages] == [one.stage.fingerprint for one in plan.stages]
    assert run_pkd("runs", "--workspace", url, "--json") == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["request"]["tasks"], record["num_stages"], record["num_done"]) == (
        ["Tiny"], len(plan.stages), 0,
    )  # fmt: skip
    assert run_pkd("clean", "--workspace", url, "--yes", "--json") == 0
    (folder,) = json.loads(capsys.readouterr().out)["folders"]
    assert (folder["folder"], folder["deleted"]) == ("artifacts/reports/report-0123456789abcdef", True)
    assert len(read_run_records(open_workspace(url))) == 1


def test_verify_reads_the_bytes_of_the_place_and_keeps_no_copy(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = publish_report(open_workspace(url))
    another_machine(tmp_path, monkeypatch)
    assert run_pkd("verify", "--workspace", url) == 0
    assert "1 published stages, 0 damaged" in capsys.readouterr().out
    assert not (open_workspace(url) / record.path).exists()
    (file,) = (tmp_path / "shared" / record.path).rglob("report.txt")
    file.write_text("another!!\n", encoding="utf-8")
    assert run_pkd("verify", "--workspace", url) == 1
    assert "report.txt has other bytes than were published" in capsys.readouterr().out


def test_a_bound_of_copies_below_what_a_stage_reads_is_refused_by_the_plan(url: str, tmp_path: Path) -> None:
    workspace = open_workspace(url)
    bring_data(workspace, ["Tiny"])
    run = build_run_config(tasks=["Tiny"], methods=["finetune"], model=str(tmp_path / "here" / "bert"))
    plan = make_plan(run, workspace, device="cpu")
    (tokens,) = (one.stage for one in plan.stages if one.stage.kind is StageKind.TOKENS)
    store = StageStore(workspace)
    with store.writing(tokens.address, dict(tokens.sources)) as work:
        (work / "train.parquet").write_bytes(b"1" * 2000)
        store.publish(tokens.address, code_version=1, config={}, inputs=dict(tokens.sources), facts={})
    options = RunOptions(device="cpu", cache_gb=1e-6)
    with pytest.raises(ConfigError, match=r"Tiny/teacher reads 2e-06 GB, and --cache-gb allows 1e-06 GB"):
        make_plan(run, workspace, device="cpu").context(options)


def test_prefect_keeps_no_records_of_its_own_where_machines_share_the_workspace(
    url: str, tmp_path: Path
) -> None:
    workspace = open_workspace(url)
    bring_data(workspace, ["Tiny"])
    run = build_run_config(tasks=["Tiny"], methods=["finetune"], model=str(tmp_path / "here" / "bert"))
    stage = make_plan(run, workspace, device="cpu").stages[0].stage
    assert task_for(stage, workspace, refresh=False).persist_result is False
    assert task_for(stage, tmp_path / "here", refresh=False).persist_result is True


def test_a_workspace_on_a_network_file_system_is_warned_of_and_a_cache_there_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path} nfs4 rw 0 0\n", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(network_folder.network_type, "__defaults__", (mounts,))
        patch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
        prepare_environment(Path())
        with pytest.raises(
            ConfigError, match=r"must lie on a disk of this machine.* lies on nfs4; set PKD_CACHE"
        ):
            open_workspace(url)
    (sentence,) = (one.getMessage() for one in caplog.records if one.name == "flows.environment")
    assert "lies on nfs4, where the locks of several machines cannot be relied on" in sentence
    assert f"--workspace {Path.cwd().as_uri()}" in sentence


def test_the_demo_s_data_and_model_are_made_once_for_all_machines(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def write_task(data_raw: Path, seed: int, **sizes: int) -> None:
        made.append("task")
        write_tiny_task(data_raw, "Demo")

    def write_model(folder: Path, seed: int, **pretraining: int) -> None:
        made.append("model")
        write_tiny_model(folder)

    monkeypatch.setattr(demo, "write_demo_task", write_task)
    monkeypatch.setattr(demo, "write_demo_model", write_model)
    here = demo.demo_request(open_workspace(url))
    make_plan(here.run, here.workspace, device="cpu").context(RunOptions())
    another_machine(tmp_path, monkeypatch)
    there = demo.demo_request(open_workspace(url))
    assert made == ["task", "model"]
    plans = [make_plan(one.run, one.workspace, device="cpu") for one in (here, there)]
    assert [one.stage.fingerprint for one in plans[0].stages] == [
        one.stage.fingerprint for one in plans[1].stages
    ]
    assert there.workspace != here.workspace


def test_fetching_a_task_makes_it_everybody_s(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(task: str, data_raw: Path) -> list[Path]:
        write_tiny_task(data_raw, task)
        return [data_raw / task / "train.tsv"]

    monkeypatch.setattr(downloading, "download_task", download)
    assert run_pkd("fetch", "RTE", "--workspace", url) == 0
    assert f"sent RTE to {url}" in capsys.readouterr().out
    another_machine(tmp_path, monkeypatch)
    bring_data(open_workspace(url), ["RTE"])
    assert (open_workspace(url) / "data_raw" / "RTE" / "train.tsv").is_file()
