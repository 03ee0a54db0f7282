"""`pkd runs` of a compression: what was asked for, and the command of its file."""

from pathlib import Path

import pytest
from command import run_pkd

from flows.compress.request import CompressRequest
from pkd_core.pipeline.compress_values import recorded_values
from pkd_core.store.run_records import record_run


@pytest.mark.parametrize(
    ("asked", "cells"),
    [
        (
            {"latency_ms": 20, "teachers": ["/models/mine"]},
            ["reviews (compress)", "within 20 ms", "teacher mine"],
        ),
        ({"student_layers": 3, "student_model": "small"}, ["reviews (compress)", "3", "bert-base-uncased"]),
        ({"model": "tiny"}, ["reviews (compress)", "half", "tiny"]),
    ],
)
def test_a_compression_is_listed_with_what_decides_about_it(
    asked: dict[str, object], cells: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = CompressRequest.build({"data": "reviews.csv", **asked}, tmp_path)
    with record_run(tmp_path, recorded_values("reviews", request.data, request.config), []):
        pass
    assert run_pkd("runs", "--workspace", str(tmp_path)) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert [cell for cell in cells if cell not in row] == []
