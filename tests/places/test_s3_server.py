"""The tests' S3 server lets one of several requests create an object, as S3 does, also where it is slow."""

import threading
import time
from typing import Any

import pytest
from moto.s3.responses import S3Response
from s3_server import new_bucket, s3_environment

from pkd_core.places.at_once import at_once
from pkd_core.places.s3 import S3Objects


def test_one_of_four_requests_creates_an_object(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_environment(endpoint).items():
        monkeypatch.setenv(name, value)
    get_checksum = S3Response._get_checksum

    def slowly(response: S3Response, headers: dict[str, Any]) -> Any:
        time.sleep(0.2)  # between moto's look and its write
        return get_checksum(response, headers)

    monkeypatch.setattr(S3Response, "_get_checksum", slowly)
    objects, together = S3Objects(new_bucket(endpoint), "some/prefix"), threading.Barrier(4)

    def create(number: int) -> bool:
        together.wait(60)
        return objects.create("key", str(number).encode())

    assert sorted(at_once(create, range(4))) == [False, False, False, True]
