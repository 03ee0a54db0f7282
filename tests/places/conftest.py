"""The places that the contract's tests run on."""

from pathlib import Path

import pytest
from s3_server import new_bucket, s3_environment

from pkd_core.places.folder import FolderObjects
from pkd_core.places.objects import Objects
from pkd_core.places.s3 import S3Objects


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    """An empty place."""
    if request.param == "folder":
        (tmp_path / "place").mkdir()
        return FolderObjects(tmp_path / "place")
    endpoint = request.getfixturevalue("endpoint")
    for name, value in s3_environment(endpoint).items():
        monkeypatch.setenv(name, value)
    return S3Objects(new_bucket(endpoint), "some/prefix")
