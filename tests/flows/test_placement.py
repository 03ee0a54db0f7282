"""Where stages are placed: what is refused, and what the process of the run shows of its workers."""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from flows.placement.check import check_placement
from flows.placement.mailbox import Viewed
from pkd_core.config.overrides import build_run_options
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import ConfigError
from pkd_core.runtime.observer import Observer
from tasks.reports import Begun, Ended, Logged, Progressed

KEY = "RTE/teacher"


class Shown:
    """Records what is shown of each stage."""

    def __init__(self) -> None:
        self.events: list[object] = []

    @contextmanager
    def show(self, key: str) -> Iterator[Observer]:
        self.events.append(f"begins {key}")
        try:
            yield self
        except Exception as error:
            self.events.append(f"fails: {error}")
            raise
        self.events.append(f"ends {key}")

    def metrics(self, step: int, values: object) -> None:
        self.events.append((step, values))

    def progress(self, done: int, total: int, unit: str) -> None:
        self.events.append((done, total, unit))

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"placement": "ray", "device": "cuda:1"},
            "with --placement ray each stage gets a GPU from Ray, and --device cuda:1 names one; give --device auto, "
            "cpu or cuda, and choose GPUs by CUDA_VISIBLE_DEVICES.",
        ),
        (
            {"students_per_gpu": 2},
            "--students-per-gpu 2 needs several processes, and --placement threads has one; add --placement ray.",
        ),
        (
            {"placement": "dask"},
            "placement cannot be 'dask': expected threads, ray, or a Ray cluster such as ray://10.0.0.5:10001.",
        ),
        (
            {"placement": "http://10.0.0.5:10001"},
            "placement cannot be 'http://10.0.0.5:10001': expected threads, ray, or a Ray cluster such as "
            "ray://10.0.0.5:10001.",
        ),
    ],
)
def test_options_of_placement_that_mean_nothing_are_a_mistake(
    options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_run_options(**options)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "placement", ["threads", "ray", "ray://10.0.0.5:10001", "head.example:6379", "[::1]:6379"]
)
def test_stages_are_placed_in_threads_by_ray_or_on_a_cluster(placement: str) -> None:
    assert build_run_options(placement=placement, device="cpu").placement == placement


def test_a_cluster_needs_a_workspace_that_its_machines_share(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        check_placement(RunOptions(placement="10.0.0.5:6379"), tmp_path)
    assert str(caught.value) == (
        "--placement 10.0.0.5:6379 needs a workspace that all machines of the cluster share, and got a folder of this "
        "one; give --workspace s3://BUCKET/PREFIX or file:///SHARED/FOLDER."
    )


def test_without_ray_its_extra_is_named_and_threads_do_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> ModuleSpec | None:
        return None if name == "ray" else importlib.util.spec_from_loader(name, None)

    monkeypatch.setattr("flows.placement.check.find_spec", find)
    check_placement(RunOptions(), tmp_path)
    with pytest.raises(ConfigError) as caught:
        check_placement(RunOptions(placement="ray"), tmp_path)
    assert str(caught.value) == (
        "--placement ray needs ray, which this environment does not have; run pip install 'pkd[ray]'."
    )


def test_the_progress_of_a_worker_is_shown_as_that_of_a_stage_of_this_process(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shown = Shown()
    viewed = Viewed(shown.show)
    for report in (
        Begun(KEY),
        Progressed(KEY, 3, 9, "steps", {"train/total": 0.5}),
        Begun(KEY),
        Logged("tasks.tracking", logging.WARNING, "MLflow does not answer"),
        Ended(KEY, None),
        Progressed(KEY, 4, 9, "steps", {}),
    ):
        viewed.take(report)
    assert shown.events == [f"begins {KEY}", (3, {"train/total": 0.5}), (3, 9, "steps"), f"ends {KEY}"]
    assert caplog.messages == [
        f"{KEY}: its worker process died; it goes on in another",
        "MLflow does not answer",
    ]


def test_a_failed_stage_is_shown_with_its_reason_and_one_that_never_reported_its_end_too() -> None:
    shown = Shown()
    viewed = Viewed(shown.show)
    viewed.take(Begun(KEY))
    viewed.take(Ended(KEY, "the loss is not finite"))
    viewed.take(Begun("RTE/kd"))
    viewed.end_all("its worker process died")
    assert shown.events == [
        f"begins {KEY}",
        "fails: the loss is not finite",
        "begins RTE/kd",
        "fails: its worker process died",
    ]
