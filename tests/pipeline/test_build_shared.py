"""Stages of a workspace that machines share: built once, from inputs and checkpoints of any machine."""

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_model, write_tiny_task
from tiny_bert import Recorder

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import LostError, StoreError
from pkd_core.pipeline.build import build
from pkd_core.pipeline.plan import make_plan
from pkd_core.pipeline.stage import Stage
from pkd_core.places.lease import Lease, leased
from pkd_core.runtime.observer import Observer
from pkd_core.store.address import StageRecord
from pkd_core.store.attached import attach, place_of
from pkd_core.store.keys import StageKeys
from pkd_core.store.stage_store import StageStatus, StageStore

NUM_EPOCHS = 4
STEPS_PER_EPOCH = 2


class Machine:
    """A machine that builds the stages of one task in a shared workspace, and notes what it computes."""

    def __init__(self, url: str, cache: Path) -> None:
        os.environ["PKD_CACHE"] = str(cache)
        self.workspace = attach(url)
        if not (self.workspace / "data_raw").exists():
            write_tiny_task(self.workspace / "data_raw")
        run = build_run_config(
            tasks=["Tiny"],
            methods=["kd"],
            model=str(cache.parent / "model"),
            settings={
                "tokens.max_length": 12,
                "teacher.num_epochs": NUM_EPOCHS,
                "teacher.batch_size": 24,
                "compute.threads": 1,
            },
        )
        self.plan = make_plan(run, self.workspace, device="cpu")
        self.tokens, self.teacher = (planned.stage for planned in self.plan.stages[:2])
        self.store = StageStore(self.workspace)
        self.observer = Recorder()
        self.tracked: list[tuple[str, bool]] = []
        self.lost: list[str] = []

    @contextmanager
    def track(self, stage: Stage, _: Mapping[str, StageRecord], resumes: bool) -> Iterator[Observer]:
        self.tracked.append((stage.key, resumes))
        try:
            yield self.observer
        except LostError as error:
            self.lost.append(str(error))
            raise

    def build(self, stage: Stage, **inputs: StageRecord) -> StageRecord:
        options = RunOptions(device="cpu", checkpoint_minutes=0)
        return build(stage, inputs, self.plan.context(options), self.track)

    def train(self) -> StageRecord:
        return self.build(self.teacher, tokens=self.build(self.tokens))


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PKD_CACHE", str(tmp_path))  # put back afterwards
    write_tiny_model(tmp_path / "model", num_layers=2)
    (tmp_path / "shared").mkdir()
    return (tmp_path / "shared").as_uri()


def test_an_input_comes_from_the_machine_that_built_it(url: str, tmp_path: Path) -> None:
    first = Machine(url, tmp_path / "a")
    tokens = first.build(first.tokens)
    second = Machine(url, tmp_path / "b")
    assert second.plan.stages[0].status is StageStatus.DONE
    assert second.build(second.tokens) == tokens
    folder = second.workspace / tokens.path
    assert not folder.exists(), "nobody has read it"
    record = second.train()
    assert [key for key, _ in second.tracked] == ["Tiny/teacher"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in (first.workspace / tokens.path).iterdir()
    )
    assert first.train() == record
    assert [key for key, _ in first.tracked] == ["Tiny/tokens"]


def test_a_damaged_input_is_withdrawn_and_built_again(url: str, tmp_path: Path) -> None:
    first = Machine(url, tmp_path / "a")
    tokens = first.build(first.tokens)
    keys, manifest = StageKeys(tokens.address), first.store.find_manifest(tokens.address)
    place = place_of(first.workspace)
    assert place is not None
    assert manifest is not None
    shard = f"{keys.files(manifest.attempt)}dev-00000.parquet"
    place.put(shard, b"x" * next(one.size for one in manifest.files if one.name == "dev-00000.parquet"))
    second = Machine(url, tmp_path / "b")
    with pytest.raises(StoreError) as caught:
        second.build(second.teacher, tokens=tokens)
    assert str(caught.value) == (
        f"Tiny/teacher needs {tokens.address.folder} as it was published, but dev-00000.parquet has other bytes than "
        f"were published; it was moved to {url}/{keys.attempts}{manifest.attempt}: run again."
    )
    with pytest.raises(StoreError, match="is gone since it was planned; run again to rebuild it"):
        second.build(second.teacher, tokens=tokens)
    assert second.build(second.tokens) == tokens
    assert [key for key, _ in second.tracked] == ["Tiny/tokens"]


def test_a_process_that_was_taken_for_dead_stops_and_takes_the_others_result(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases: list[Lease] = []

    @contextmanager
    def noted(*arguments: Any, **options: Any) -> Iterator[Lease]:
        with leased(*arguments, **options, term=0.3) as lease:
            leases.append(lease)
            yield lease

    monkeypatch.setattr("pkd_core.store.shared_stages.leased", noted)
    # A process that sleeps longer than its lease: what renews it sleeps too.
    monkeypatch.setattr(Lease, "renew", lambda lease: None)
    first, second = Machine(url, tmp_path / "a"), Machine(url, tmp_path / "b")
    records: list[StageRecord] = []

    def sleep(done: int, total: int, unit: str) -> None:
        if not records:
            records.append(second.train())
            leases[0].is_lost = True

    first.build(first.tokens)
    leases.clear()
    monkeypatch.setattr(first.observer, "progress", sleep)
    assert first.train() == records[0]
    assert first.tracked[-1] == ("Tiny/teacher", False)
    assert first.lost == [
        "Tiny teacher: another machine took over, because this one was not heard of for 0.3 seconds; its result is "
        "used, run again to get it."
    ]
    assert not (first.workspace / first.teacher.address.folder).exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from test_build_shared import Machine

machine = Machine(sys.argv[1], Path(sys.argv[2]))
progress = machine.observer.progress

def kill(done, total, unit):
    if (unit, done) == ("steps", int(sys.argv[3])):
        os.kill(os.getpid(), signal.SIGKILL)

machine.observer.progress = kill
machine.train()
"""


@pytest.mark.slow
def test_a_killed_training_goes_on_on_another_machine_bit_for_bit(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, url, str(tmp_path / "a"), str(5)],
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    assert killed.returncode == -signal.SIGKILL
    monkeypatch.setattr("pkd_core.store.shared_stages.leased", functools.partial(leased, term=0.5))
    second = Machine(url, tmp_path / "b")
    record = second.train()
    assert second.tracked == [("Tiny/teacher", True)]
    steps = [done for done, _, unit in second.observer.progress_seen if unit == "steps"]
    assert (steps[0], steps[-1]) == (5, NUM_EPOCHS * STEPS_PER_EPOCH)
    (tmp_path / "undisturbed").mkdir()
    alone = Machine((tmp_path / "undisturbed").as_uri(), tmp_path / "c")
    assert alone.train().digest == record.digest
    assert alone.tracked == [("Tiny/tokens", False), ("Tiny/teacher", False)]
