"""What a worker process reports of its stage."""

import logging

import pytest

from tasks.reports import Begun, Ended, Logged, Progressed, Report, ReportingShow, reporting_log


def test_a_stage_reports_its_progress_its_last_score_and_its_end() -> None:
    reports: list[Report] = []
    with ReportingShow(reports.append)("RTE/teacher") as observer:
        observer.metrics(1, {"train/total": 0.5})
        observer.progress(1, 9, "steps")
        for step in range(2, 10):
            observer.metrics(step, {"train/total": 0.5 / step})
            observer.progress(step, 9, "steps")
        observer.metrics(9, {"dev/accuracy": 0.75})
    assert reports == [
        Begun("RTE/teacher"),
        Progressed("RTE/teacher", 1, 9, "steps", {"train/total": 0.5}),
        Progressed("RTE/teacher", 9, 9, "steps", {"train/total": 0.5 / 9, "dev/accuracy": 0.75}),
        Ended("RTE/teacher", None),
    ]


def test_a_stage_that_fails_reports_why() -> None:
    reports: list[Report] = []
    with pytest.raises(ValueError, match="not finite"), ReportingShow(reports.append)("RTE/kd"):
        raise ValueError("the loss is not finite")
    assert reports == [Begun("RTE/kd"), Ended("RTE/kd", "the loss is not finite")]


def test_our_own_log_is_reported_without_the_lines_of_progress(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reports: list[Report] = []
    with reporting_log(reports.append):
        logging.getLogger("tasks.tracking").warning("MLflow does not answer after %d s", 5)
        logging.getLogger("pkd_core.runtime.observer").info("RTE/teacher: 1 of 9 steps")
        logging.getLogger("httpx").warning("not ours")
    logging.getLogger("tasks.tracking").warning("later")
    assert reports == [Logged("tasks.tracking", logging.WARNING, "MLflow does not answer after 5 s")]
