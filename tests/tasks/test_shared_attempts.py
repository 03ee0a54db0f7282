"""Machines that share a workspace: whatever is cut off or comes back, one finished run holds each point once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow_server import mlflow_server
from postgres_server import postgres
from runs import Points, complete, contents_of, file_of, history, runs_of, tracked

from pkd_core.errors import LostError, StoreError
from tasks import mlflow_store
from tasks.completion import complete_run
from tasks.mlflow_store import Store, ensure_store, find_client
from tasks.run_contents import find_finished
from tasks.unfinished import PLACE_TAG, fail_others

POINTS: Points = [(step, {"train/total": 1 / step}) for step in range(1, 7)]
NAME = "pkd-RTE-3l"


@dataclass(frozen=True)
class Machines:
    """Machines that share one workspace and one MLflow store.

    Attributes:
        root: Folder of their local folders.
        url: The workspace's address.
    """

    root: Path
    url: str

    def folder(self, machine: str) -> Path:
        """Return a machine's own folder of the workspace."""
        folder = self.root / machine
        folder.mkdir(exist_ok=True)
        (folder / "place.json").write_text(f'{{"url": "{self.url}"}}\n', encoding="utf-8")
        return folder

    @property
    def store(self) -> Store:
        return ensure_store(self.folder("reader"))


@pytest.fixture(scope="module")
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The variables of MLflow's store: a database that stands for a server, which takes seconds to start, or one."""
    folder = tmp_path_factory.mktemp("mlflow")
    with ExitStack() as stack:
        if request.param == "database":
            yield {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
        else:
            found = stack.enter_context(postgres("mlflow")) if request.param == "postgres" else None
            yield stack.enter_context(mlflow_server(folder, found.url("mlflow") if found else None))


@pytest.fixture
def machines(address: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    for name, value in address.items():
        monkeypatch.setenv(name, value)
    if not address["MLFLOW_TRACKING_URI"].startswith("http"):
        monkeypatch.setattr(mlflow_store, "_SERVERS", ("http://", "sqlite://"))
    (tmp_path / "place").mkdir()
    return Machines(tmp_path, (tmp_path / "place").as_uri())


# The fingerprints differ from test to test: the store is the same.
each_store = pytest.mark.parametrize(
    "address",
    [
        "database",
        pytest.param("server", marks=pytest.mark.slow),
        pytest.param("postgres", marks=pytest.mark.slow),
    ],
    indirect=True,
)


def assert_published(store: Store, fingerprint: str, failed: tuple[str, ...] = ()) -> str:
    """Assert that one run is finished, with the published points once each, and return its id; others are failed."""
    found = find_finished(store, fingerprint, "d1")
    assert found is not None
    assert runs_of(store, fingerprint) == {found.info.run_id: "FINISHED"} | dict.fromkeys(failed, "FAILED")
    assert sorted(history(store, found.info.run_id, "train/total")) == [
        (step, values["train/total"]) for step, values in POINTS
    ]
    return str(found.info.run_id)


@each_store
def test_what_was_cut_off_fails_when_another_machine_takes_over_and_is_deleted_when_it_comes_back(
    machines: Machines,
) -> None:
    store, cut, other = machines.store, machines.folder("cut"), machines.folder("other")
    with pytest.raises(LostError), tracked(cut, "s-cut") as zombie:
        for step in (1, 2, 3):
            zombie.metrics(step, {"train/total": 10.0 * step})
        zombie.flush()
        # The other machine has the checkpoint of step 2, but not this machine's file.
        with tracked(other, "s-cut", resumes=True) as run:
            assert runs_of(store, "s-cut") == {zombie.run_id: "FAILED", run.run_id: "RUNNING"}
            for step in (3, 4, 5, 6):
                run.metrics(step, {"train/total": 1 / step})
        complete(other, "s-cut", POINTS)
        # The network is back: it logs what it has, and learns that its work is not wanted.
        for step in (4, 5):
            zombie.metrics(step, {"train/total": 10.0 * step})
        raise LostError("s-cut was taken over by another machine.")

    assert runs_of(store, "s-cut") == {zombie.run_id: "FAILED", run.run_id: "FINISHED"}
    assert history(store, zombie.run_id, "train/total") == [(step, 10.0 * step) for step in range(1, 6)]
    complete(cut, "s-cut", POINTS)
    assert assert_published(store, "s-cut") == run.run_id
    assert not file_of(cut, "s-cut").exists()


@each_store
def test_a_result_whose_machine_died_before_it_was_logged_is_logged_by_another_with_its_own_points(
    machines: Machines,
) -> None:
    store, winner, other = machines.store, machines.folder("winner"), machines.folder("other")
    with ExitStack() as dead, pytest.raises(LostError), tracked(other, "s-died") as lost:
        lost.metrics(1, {"train/total": 1.0})
        lost.metrics(2, {"train/total": 0.25})  # the published value is 0.5
        run = dead.enter_context(tracked(winner, "s-died", resumes=True))
        run.metrics(3, {"train/total": 1 / 3})
        run.flush()
        raise LostError("s-died was published by another machine.")
    # The other one takes the published result, and logs it as what it is.
    complete(other, "s-died", POINTS)
    assert assert_published(store, "s-died", failed=(run.run_id,)) != lost.run_id


@each_store
def test_the_winner_that_comes_back_late_deletes_its_own_run(machines: Machines) -> None:
    store, winner, other = machines.store, machines.folder("winner"), machines.folder("other")
    with tracked(winner, "s-late") as run:
        run.metrics(1, {"train/total": 1.0})
    complete(other, "s-late", POINTS)
    assert runs_of(store, "s-late")[run.run_id] == "FAILED"
    complete(winner, "s-late", POINTS)
    assert assert_published(store, "s-late") != run.run_id


@each_store
def test_a_run_whose_points_are_the_published_ones_is_completed(machines: Machines) -> None:
    own = machines.folder("own")
    with tracked(own, "s-own") as run:
        for step, values in POINTS[:3]:
            run.metrics(step, values)
    complete(own, "s-own", POINTS)
    assert assert_published(machines.store, "s-own") == run.run_id


@each_store
def test_of_two_machines_that_complete_a_stage_together_one_run_and_one_version_stay(
    machines: Machines,
) -> None:
    store = machines.store
    fingerprint, contents = "s-both", contents_of("s-both")

    def register(to: Store, run_id: str) -> None:
        names = [one.name for one in to.client.search_registered_models()]
        if NAME not in names:
            to.client.create_registered_model(NAME)
        source = f"{to.client.get_run(run_id).info.artifact_uri}/model"
        to.client.create_model_version(NAME, source=source, run_id=run_id)

    def complete_elsewhere_first(to: Store, run_id: str) -> None:
        register(to, run_id)
        elsewhere = machines.folder("b")
        complete_run(elsewhere, file_of(elsewhere, fingerprint), contents, "d1", POINTS, register)

    here = machines.folder("a")
    complete_run(here, file_of(here, fingerprint), contents, "d1", POINTS, complete_elsewhere_first)
    kept = assert_published(store, fingerprint)
    versions = store.client.search_model_versions(f"name = '{NAME}'")
    assert [version.run_id for version in versions] == [kept]
    assert store.client.get_registered_model(NAME).aliases == {"newest": versions[0].version}
    store.client.delete_registered_model(NAME)


@each_store
def test_runs_of_other_workspaces_and_stages_are_left_alone(machines: Machines) -> None:
    store = machines.store

    def running(fingerprint: str, place: str | None) -> str:
        tags = {"fingerprint": fingerprint} | ({PLACE_TAG: place} if place else {})
        run_id: str = store.client.create_run(store.experiment_id, tags=tags).info.run_id
        return run_id

    elsewhere, alone = running("s-mine", "s3://other/lab"), running("s-mine", None)
    shared, own = running("s-mine", store.place), running("s-mine", store.place)
    another = running("s-another", store.place)
    fail_others(store, {"s-mine"}, own=own)
    assert runs_of(store, "s-mine") == {
        elsewhere: "RUNNING",
        alone: "RUNNING",
        shared: "FAILED",
        own: "RUNNING",
    }
    assert runs_of(store, "s-another") == {another: "RUNNING"}
    fail_others(store, {"s-mine", "s-another"})
    assert runs_of(store, "s-mine")[own] == "FAILED"
    assert runs_of(store, "s-another") == {another: "FAILED"}


@pytest.mark.slow
@pytest.mark.parametrize("address", ["server", "postgres"], indirect=True)
def test_a_process_that_stops_for_longer_than_its_stage_takes_leaves_no_second_point(
    machines: Machines, address: dict[str, str]
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from runs import complete, tracked\n"
        "points = [(step, {'train/total': 1 / step}) for step in range(1, 7)]\n"
        "workspace = Path(sys.argv[1])\n"
        "with tracked(workspace, 's-stopped') as run:\n"
        "    for step, values in points:\n"
        "        run.metrics(step, values); run.flush(); print(step, flush=True); time.sleep(1)\n"
        "complete(workspace, 's-stopped', points)\n"
    )
    stopped, other = machines.folder("stopped"), machines.folder("other")
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{code}",
            stopped,
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | address,
    ) as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)] == ["1\n", "2\n"]
        process.send_signal(signal.SIGSTOP)
        with tracked(other, "s-stopped", resumes=True) as run:
            for step, values in POINTS[1:]:
                run.metrics(step, values)
        complete(other, "s-stopped", POINTS)
        time.sleep(1)
        process.send_signal(signal.SIGCONT)
        assert process.wait(120) == 0
    assert assert_published(machines.store, "s-stopped") == run.run_id


@pytest.mark.parametrize(
    ("uri", "got"),
    [
        (None, "it is not set"),
        ("sqlite:////tmp/mlflow.db", "got sqlite:////tmp/mlflow.db"),
        ("postgresql://me:secret@db.test/mlflow", "got postgresql://db.test/mlflow"),
    ],
)
def test_a_shared_workspace_needs_a_server_that_all_machines_reach(
    uri: str | None, got: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (tmp_path / "place").mkdir()
    machines = Machines(tmp_path, (tmp_path / "place").as_uri())
    for use in (ensure_store, find_client):
        with pytest.raises(StoreError) as caught:
            use(machines.folder("a"))
        assert str(caught.value) == (
            f"the workspace {machines.url} needs an MLflow server that all of its machines reach, and {got}: set "
            "MLFLOW_TRACKING_URI to its address, such as http://10.0.0.1:5000 (pkd up --host starts one)."
        )
    assert not (machines.folder("a") / "artifacts").exists()
