"""Everything published is found, and each damage in it."""

from pathlib import Path

from published_stages import publish

from pkd_core.store.catalog import Catalog
from pkd_core.store.scan import verify_all
from pkd_core.store.stage_store import Address, StageStatus, StageStore

FINGERPRINTS = ("0123456789abcdef", "fedcba9876543210")


def test_published_stages_are_found_in_order_and_other_folders_are_not(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    addresses = [
        Address("data_feat", "CoLA", "tokens", FINGERPRINTS[0]),
        Address("data_feat", "RTE", "tokens", FINGERPRINTS[0]),
        Address("data_feat", "RTE", "tokens", FINGERPRINTS[1]),
        Address("artifacts", "RTE", "pkd-skip-3l-s1", FINGERPRINTS[0]),
    ]
    for address in reversed(addresses):
        publish(store, address, {"file": b"1"})
        publish(store, address, {"file": b"2"})
    for name in (
        "RTE/tokens-0123",
        "RTE/tokens-0123456789ABCDEF",
        "RTE/tokens",
        "RTE/-0123456789abcdef",
        ".work/tokens-0123456789abcdef",
        "RTE/deeper/tokens-0123456789abcdef",
    ):
        (tmp_path / "data_feat" / name).mkdir(parents=True)
    (tmp_path / "other" / "RTE" / "tokens-0123456789abcdef").mkdir(parents=True)
    assert list(Catalog(tmp_path).addresses()) == addresses
    assert list(Catalog(tmp_path / "absent").addresses()) == []


def test_every_byte_of_every_stage_is_verified(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    tokens, teacher, broken = (
        Address("data_feat", "RTE", "tokens", FINGERPRINTS[0]),
        Address("artifacts", "RTE", "teacher", FINGERPRINTS[0]),
        Address("artifacts", "RTE", "teacher", FINGERPRINTS[1]),
    )
    publish(store, tokens, {"a": b"12", "b": b"123"})
    publish(store, teacher, {"a": b"1234"})
    publish(store, broken, {"a": b"1"})
    (tmp_path / teacher.folder / "a").write_bytes(b"1235")
    (tmp_path / broken.folder / "manifest.json").unlink()
    results = list(verify_all(tmp_path))
    assert [(one.folder, one.inspection.status, one.num_bytes) for one in results] == [
        (tokens.folder, StageStatus.DONE, 5),
        (teacher.folder, StageStatus.DAMAGED, 4),
        (broken.folder, StageStatus.DAMAGED, 0),
    ]
    assert [one.inspection.reason for one in results] == [
        "",
        "a has other bytes than were published",
        "manifest.json is absent",
    ]
