"""A stage's progress is shown on Prefect's page."""

import pytest
from prefect import flow, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

import tasks.progress
from pkd_core.config.settings import StatesConfig
from pkd_core.pipeline.specs import TeacherStatesSpec
from pkd_core.pipeline.stage import make_stage
from tasks.progress import ProgressObserver


def test_progress_is_one_artifact_that_is_kept_up_to_date(
    server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.progress, "_SECONDS_BETWEEN_UPDATES", 0.0)
    spec = TeacherStatesSpec(states=StatesConfig())
    stage = make_stage("Tiny_C", "teacher-states", spec, {}, {})

    @flow
    def work() -> None:
        observer = ProgressObserver(stage)
        for done in (1, 2, 4):
            observer.progress(done, 4, "steps")

    work()
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["tiny-c-teacher-states"]))
        )
    assert [(artifact.type, artifact.data) for artifact in found] == [("progress", 100.0)]
