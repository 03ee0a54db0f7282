"""A service's runs stay in the workspace that it was started with."""

from pathlib import Path

import pytest

from flows.service.root import ROOT_VARIABLE, check_below_root
from pkd_core.errors import ConfigError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "root"
    (root / "inside").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "link-to-inside").symlink_to(root / "inside")
    monkeypatch.setenv(ROOT_VARIABLE, str(root))
    return root


@pytest.mark.parametrize("inside", [".", "inside", "new/folder", "../link-to-inside", "inside/../inside"])
def test_the_root_and_what_is_below_it_are_accepted(inside: str, root: Path) -> None:
    check_below_root(root / inside)


@pytest.mark.parametrize("outside", ["..", "../outside", "link", "link/folder", "../root-of-another", "/"])
def test_any_other_folder_is_refused_in_a_sentence_that_names_the_root(outside: str, root: Path) -> None:
    with pytest.raises(ConfigError, match=f"needs a workspace in {root}, with which"):
        check_below_root(root / outside)


def test_a_long_path_is_shortened(root: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        check_below_root(root.parent / "/".join(["x" * 100] * 20))
    assert len(str(refused.value)) < 600


def test_a_flow_that_no_service_runs_is_not_bound(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ROOT_VARIABLE)
    check_below_root(tmp_path)
