"""A stage is built once, under its lock and a device slot, from its inputs as they are; a stop request comes first."""

import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny import write_tiny_model, write_tiny_task
from tiny_bert import Recorder

from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import DataError, StoreError
from pkd_core.pipeline import compute as computing
from pkd_core.pipeline.build import build
from pkd_core.pipeline.facts import TokensFacts, TrainingFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.plan import make_plan
from pkd_core.pipeline.specs import TeacherSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.cancellation import StoppedError, clear_stop_request, request_stop
from pkd_core.runtime.observer import Observer
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import read_manifest
from pkd_core.store.stage_store import StageStore
from pkd_core.store.work_folder import resume_folder

STOPPED = r"^Tiny/tokens was stopped; the same command goes on from there\.$"
SECONDS = 30.0  # for a busy machine; nothing takes so long


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build") / "model"
    write_tiny_model(folder, num_layers=2)
    return folder


class Builder:
    """Builds the stages of one task, and notes how each computed stage was announced and what it reported."""

    def __init__(self, root: Path, model: Path) -> None:
        write_tiny_task(root / "data_raw")
        run = build_run_config(
            tasks=["Tiny"], methods=["kd"], model=str(model), settings={"tokens.max_length": 12}
        )
        self.run = run
        self.root = root
        self.make_plan()
        self.store = StageStore(root)
        self.tracked: list[tuple[str, dict[str, StageRecord], bool]] = []
        self.observer = Recorder()

    def make_plan(self) -> None:
        self.plan = make_plan(self.run, self.root, device="cpu")
        self.tokens, self.teacher = (planned.stage for planned in self.plan.stages[:2])

    @contextmanager
    def track(self, stage: Stage, inputs: Mapping[str, StageRecord], resumes: bool) -> Iterator[Observer]:
        self.tracked.append((stage.key, dict(inputs), resumes))
        yield self.observer

    def build_tokens(self, deep: bool = False) -> StageRecord:
        options = RunOptions(device="cpu", deep=deep)
        return build(self.tokens, {}, self.plan.context(options), self.track)

    def build_in(self, slot: "Slot") -> StageRecord:
        return build(self.tokens, {}, self.plan.context(RunOptions(device="cpu")), self.track, slot.hold)


class Slot:
    """A device slot that does something once it is held, and notes how often it was."""

    def __init__(self) -> None:
        self.num_held = 0
        self.released = threading.Event()

    def act(self) -> None:
        """Do nothing."""

    @contextmanager
    def hold(self) -> Iterator[None]:
        self.num_held += 1
        try:
            self.act()
            yield
        finally:
            self.released.set()


@pytest.fixture
def builder(tmp_path: Path, model: Path) -> Iterator[Builder]:
    yield Builder(tmp_path, model)
    clear_stop_request()


def test_a_stage_is_computed_once_and_published_with_what_it_was_made_from(builder: Builder) -> None:
    record = builder.build_tokens()
    stage = builder.tokens
    manifest = read_manifest(builder.root / record.path)
    facts = TokensFacts.of(record)
    assert (facts.rows, facts.skipped_lines) == ({"train": 48, "dev": 24, "test": 6}, {})
    assert (facts.max_length, 3 < facts.mean_length <= 12) == (12, True)
    assert record == StageRecord(
        task="Tiny",
        stage="tokens",
        fingerprint=stage.fingerprint,
        digest=manifest.digest,
        path=f"data_feat/Tiny/tokens-{stage.fingerprint}",
        facts=facts.model_dump(mode="json"),
    )
    assert (manifest.code_version, manifest.config, manifest.inputs) == (1, stage.config, stage.sources)
    assert manifest.facts == record.facts
    assert builder.tracked == [("Tiny/tokens", {}, False)]
    assert builder.observer.progress_seen[-1][0] > 0
    assert builder.build_tokens() == record
    assert len(builder.tracked) == 1


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("train", "expected examples of every label of Tiny, got none of down; add some, or "),
        ("dev", "expected at least two different labels, for a score to mean something, got up alone; "),
    ],
)
def test_labels_that_leave_nothing_to_learn_or_score_end_the_tokens_with_the_files_name(
    split: str, message: str, builder: Builder
) -> None:
    path = builder.root / "data_raw" / "Tiny" / f"{split}.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace("\tdown", "\tup"), encoding="utf-8")
    builder.make_plan()
    with pytest.raises(DataError) as caught:
        builder.build_tokens()
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_stage_whose_work_folder_has_a_checkpoint_resumes(builder: Builder) -> None:
    with builder.store.writing(builder.tokens.address, builder.tokens.sources) as work:
        (resume_folder(work) / "checkpoint").mkdir()
    builder.build_tokens()
    assert builder.tracked == [("Tiny/tokens", {}, True)]


def test_a_stage_built_from_other_inputs_is_built_again(builder: Builder) -> None:
    others = dict.fromkeys(builder.tokens.sources, "0" * 64)
    with builder.store.writing(builder.tokens.address, others) as work:
        (work / "old").touch()
        builder.store.publish(
            builder.tokens.address, code_version=1, config=builder.tokens.config, inputs=others, facts={}
        )
    record = builder.build_tokens()
    assert len(builder.tracked) == 1
    assert not (builder.root / record.path / "old").exists()


def test_only_a_deep_look_finds_changed_bytes_and_builds_the_stage_again(builder: Builder) -> None:
    record = builder.build_tokens()
    shard = builder.root / record.path / "dev-00000.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert builder.build_tokens() == record
    assert len(builder.tracked) == 1
    assert builder.build_tokens(deep=True) == record
    assert len(builder.tracked) == 2
    assert shard.read_bytes() == whole


def test_a_stage_gets_its_inputs_folders_and_records_their_present_digests(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []

    def train(job: Job, spec: TeacherSpec) -> TrainingFacts:
        jobs.append(job)
        assert job.work.is_dir()
        assert spec is builder.teacher.spec
        (job.work / "model.safetensors").write_bytes(b"weights")
        job.observer.metrics(1, {"train/total": 0.5})
        job.observer.flush()
        request_stop()
        with pytest.raises(StoppedError, match=r"^Tiny/teacher was stopped"):
            job.observer.progress(1, 2, "steps")
        return TrainingFacts(
            best_epoch=1, best_score=0.5, metric="accuracy", num_steps=2, precision="float32"
        )

    monkeypatch.setattr(computing, "train_teacher", train)
    tokens = builder.build_tokens()
    digest = tokens.digest
    older = StageRecord("Tiny", "tokens", tokens.fingerprint, "of other bytes", tokens.path)
    context = builder.plan.context(RunOptions(device="cpu"))
    record = build(builder.teacher, {"tokens": older}, context, builder.track)
    manifest = read_manifest(builder.root / record.path)
    assert manifest.inputs == {"tokens": digest, "pretrained": builder.plan.model.weights}
    assert manifest.code_version == 2
    assert manifest.facts["num_steps"] == 2
    assert builder.tracked[1] == ("Tiny/teacher", {"tokens": older}, False)
    assert builder.observer.metrics_seen == [(1, {"train/total": 0.5})]
    assert builder.observer.num_flushed == 1
    (job,) = jobs
    assert job.stage is builder.teacher
    assert job.context is context
    assert job.inputs == {"tokens": builder.root / tokens.path}
    assert job.task == builder.plan.tasks["Tiny"]
    assert job.input_facts("tokens", TokensFacts) == TokensFacts.of(tokens)


def test_an_input_that_was_deleted_since_it_was_planned_is_named(builder: Builder) -> None:
    tokens = builder.build_tokens()
    shutil.rmtree(builder.root / tokens.path)
    context = builder.plan.context(RunOptions(device="cpu"))
    with pytest.raises(StoreError) as caught:
        build(builder.teacher, {"tokens": tokens}, context, builder.track)
    assert str(caught.value) == (
        f"Tiny/teacher needs {tokens.path}, which is gone since it was planned; run again to rebuild it."
    )


def test_a_requested_stop_comes_before_the_device_slot_but_not_before_what_is_published(
    builder: Builder,
) -> None:
    slot = Slot()
    request_stop()
    with pytest.raises(StoppedError, match=STOPPED):
        builder.build_in(slot)
    assert (slot.num_held, builder.tracked) == (0, [])
    clear_stop_request()
    record = builder.build_in(slot)
    request_stop()
    assert builder.build_in(slot) == record
    assert slot.num_held == 1


def test_a_stop_that_is_requested_during_the_wait_for_a_device_is_followed(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = Slot()
    monkeypatch.setattr(slot, "act", request_stop)
    with pytest.raises(StoppedError, match=STOPPED):
        builder.build_in(slot)
    assert (slot.num_held, builder.tracked) == (1, [])


def test_a_stage_that_another_process_published_during_the_wait_is_taken(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = Slot()
    records: list[StageRecord] = []
    monkeypatch.setattr(slot, "act", lambda: records.append(builder.build_tokens()))
    assert builder.build_in(slot) == records[0]
    assert len(builder.tracked) == 1


def test_while_another_process_builds_the_stage_the_device_is_free(builder: Builder) -> None:
    slot, held, is_free = Slot(), threading.Event(), []

    def other() -> None:
        with builder.store.locked(builder.tokens.address):
            held.set()
            is_free.append(slot.released.wait(SECONDS))

    thread = threading.Thread(target=other)
    thread.start()
    assert held.wait(SECONDS)
    record = builder.build_in(slot)
    thread.join()
    assert is_free == [True]
    assert slot.num_held == 2, "not again and again while it waits"
    assert builder.tracked == [("Tiny/tokens", {}, False)]
    assert builder.build_tokens() == record
