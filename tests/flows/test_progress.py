"""A stage's progress is shown on Prefect's page, and the stage continues when Prefect's server fails."""

import httpx
import pytest
from prefect import flow, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

import tasks.progress
from pkd_core.config.settings import StatesConfig
from pkd_core.pipeline.specs import TeacherStatesSpec
from pkd_core.pipeline.stage import make_stage
from pkd_core.runtime.observer import LogObserver
from tasks.progress import ProgressObserver

STAGE = make_stage("Tiny_C", "teacher-states", TeacherStatesSpec(states=StatesConfig()), {}, {})


def test_progress_is_one_artifact_that_is_kept_up_to_date(
    server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.progress, "_SECONDS_BETWEEN_UPDATES", 0.0)

    @flow
    def work() -> None:
        observer = ProgressObserver(STAGE, LogObserver(STAGE.key))
        for done in (1, 2, 4):
            observer.progress(done, 4, "steps")

    work()
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["tiny-c-teacher-states"]))
        )
    assert [(artifact.type, artifact.data) for artifact in found] == [("progress", 100.0)]


def test_a_stage_continues_without_its_progress_bar_when_the_server_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tasks.progress, "_SECONDS_BETWEEN_UPDATES", 0.0)
    requests = []

    def fail(*_: object, **__: object) -> None:
        requests.append(None)
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(tasks.progress, "create_progress_artifact", fail)
    observer = ProgressObserver(STAGE, LogObserver(STAGE.key))
    for done in (1, 2, 4):
        observer.progress(done, 4, "steps")
    assert len(requests) == 1
    assert "no progress bar, as Prefect's server fails: refused" in caplog.text
