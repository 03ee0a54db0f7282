"""Published stages: done when complete, damaged with a reason when anything in them is wrong."""

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import xxhash
from published_stages import publish as publish_stage

from pkd_core.errors import StoreError
from pkd_core.store.address import StageRecord
from pkd_core.store.inspection import inspect_folder
from pkd_core.store.manifest import FileEntry, Manifest
from pkd_core.store.stage_store import Address, Inspection, StageStatus, StageStore

ADDRESS = Address("data_feat", "RTE", "tokens", "0123456789abcdef")
FILES = {"train-00000.parquet": b"a" * 5000, "dev-00000.parquet": b"b" * 300, "nested/more/notes.txt": b"c"}


def publish(store: StageStore, files: Mapping[str, bytes] = FILES, raw: str = "aa") -> StageRecord:
    return publish_stage(store, ADDRESS, files, {"raw": raw})


@pytest.fixture
def store(tmp_path: Path) -> StageStore:
    return StageStore(tmp_path / "workspace")


def test_a_published_stage_is_done_and_its_record_points_to_its_files(store: StageStore) -> None:
    assert store.inspect(ADDRESS) == Inspection(StageStatus.MISSING, "not built yet")
    record = publish(store)
    folder = store.workspace / record.path
    assert record.path == "data_feat/RTE/tokens-0123456789abcdef" == ADDRESS.folder.as_posix()
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    inspection = store.inspect(ADDRESS, inputs={"raw": "aa"}, deep=True)
    manifest = inspection.manifest
    assert manifest is not None
    assert inspection == Inspection(StageStatus.DONE, "", manifest)
    assert store.record(ADDRESS, manifest) == record
    assert record.to_json() == {
        "task": "RTE",
        "stage": "tokens",
        "fingerprint": "0123456789abcdef",
        "digest": manifest.digest,
        "path": record.path,
        "facts": {"rows": 3},
    }
    assert StageRecord.from_json(record.to_json()) == record
    assert manifest == Manifest(
        task="RTE",
        stage="tokens",
        fingerprint="0123456789abcdef",
        code_version=7,
        config={"max_length": 128},
        inputs={"raw": "aa"},
        files=tuple(
            FileEntry(name, len(data), xxhash.xxh3_128_hexdigest(data))
            for name, data in sorted(FILES.items())
        ),
        facts={"rows": 3},
        created=manifest.created,
    )
    age = datetime.now(UTC) - datetime.strptime(manifest.created, "%Y-%m-%dT%H:%M:%S%z")
    assert timedelta() <= age < timedelta(minutes=1)


def test_inspecting_a_stage_writes_nothing(store: StageStore) -> None:
    store.inspect(ADDRESS, inputs={"raw": "aa"}, deep=True)
    assert not store.workspace.exists()


def test_the_same_bytes_have_the_same_digest_in_another_workspace(store: StageStore, tmp_path: Path) -> None:
    assert publish(store).digest == publish(StageStore(tmp_path / "other"), raw="bb").digest


def test_an_input_rebuilt_with_other_bytes_makes_a_stage_stale_and_is_named(store: StageStore) -> None:
    publish(store)
    manifest = store.inspect(ADDRESS).manifest
    inspection = store.inspect(ADDRESS, inputs={"raw": "bb"})
    assert inspection == Inspection(StageStatus.STALE, "its input raw has changed since", manifest)
    assert (
        store.inspect(ADDRESS, inputs={"raw": "aa", "new": "cc"}).reason == "its input new has changed since"
    )
    assert store.inspect(ADDRESS, inputs={}).status is StageStatus.DONE, "an unknown digest is no change"


def truncate(folder: Path) -> None:
    os.truncate(folder / "train-00000.parquet", 4999)


def extend(folder: Path) -> None:
    os.truncate(folder / "train-00000.parquet", 5001)


def delete(folder: Path) -> None:
    (folder / "nested/more/notes.txt").unlink()


def add_stranger(folder: Path) -> None:
    (folder / "nested/stranger.tmp").write_bytes(b"")


def link_outside(folder: Path) -> None:
    (folder / "dev-00000.parquet").unlink()
    (folder / "dev-00000.parquet").symlink_to("/etc/hostname")


def link_a_folder_outside(folder: Path) -> None:
    shutil.move(folder / "nested", folder.with_name("outside"))
    (folder / "nested").symlink_to(folder.with_name("outside"))


def corrupt_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"\xff\x00 not a manifest")


def delete_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def put_file_in_place_of_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"")


def put_broken_link_in_place_of_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


def point_outside(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace("dev-00000", "../../dev-00000"), encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (truncate, "train-00000.parquet has 4999 bytes where 5000 were published"),
        (extend, "train-00000.parquet has 5001 bytes where 5000 were published"),
        (delete, "nested/more/notes.txt is absent"),
        (add_stranger, "nested/stranger.tmp does not belong there"),
        (link_outside, "dev-00000.parquet is neither a plain file nor a folder"),
        (link_a_folder_outside, "nested is neither a plain file nor a folder"),
        (corrupt_manifest, "manifest.json is not JSON"),
        (delete_manifest, "manifest.json is absent"),
        (put_file_in_place_of_folder, "a file is where the folder should be"),
        (put_broken_link_in_place_of_folder, "a file is where the folder should be"),
        (
            point_outside,
            "a file's name must be a plain path inside its folder, got '../../dev-00000.parquet'",
        ),
    ],
)
def test_a_damaged_folder_is_found_without_hashing_and_repaired_by_publishing_again(
    store: StageStore, fault: Callable[[Path], None], expected: str
) -> None:
    publish(store)
    fault(store.workspace / ADDRESS.folder)
    inspection = store.inspect(ADDRESS)
    assert (inspection.status, inspection.reason) == (StageStatus.DAMAGED, expected)
    publish(store)
    assert store.inspect(ADDRESS, deep=True).status is StageStatus.DONE


def test_a_flipped_bit_is_found_only_by_hashing(store: StageStore) -> None:
    publish(store)
    path = store.workspace / ADDRESS.folder / "train-00000.parquet"
    data = bytearray(path.read_bytes())
    data[2500] ^= 1
    path.write_bytes(data)
    done = store.inspect(ADDRESS)
    assert done.status is StageStatus.DONE
    assert inspect_folder(path.parent, ADDRESS) == done
    reason = "train-00000.parquet has other bytes than were published"
    assert store.inspect(ADDRESS, deep=True) == Inspection(StageStatus.DAMAGED, reason, done.manifest)


def test_a_file_that_cannot_be_read_is_damage(store: StageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(store)

    def fail(path: Path) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    monkeypatch.setattr("pkd_core.store.verification.hash_file", fail)
    inspection = store.inspect(ADDRESS, deep=True)
    assert inspection.status is StageStatus.DAMAGED
    assert inspection.reason == "dev-00000.parquet cannot be read (Input/output error)"


@pytest.mark.parametrize(
    "other",
    [
        Address("data_feat", "RTE", "tokens", "fedcba9876543210"),
        Address("data_feat", "RTE", "teacher-states", "0123456789abcdef"),
        Address("data_feat", "CoLA", "tokens", "0123456789abcdef"),
    ],
)
def test_a_folder_copied_to_another_address_is_damaged(store: StageStore, other: Address) -> None:
    publish(store)
    shutil.copytree(store.workspace / ADDRESS.folder, store.workspace / other.folder)
    inspection = store.inspect(other)
    assert inspection.status is StageStatus.DAMAGED
    assert inspection.reason == "manifest.json belongs to another stage (RTE tokens 0123456789abcdef)"
    assert inspection.manifest == store.inspect(ADDRESS).manifest


def test_a_folder_moved_to_another_disk_and_linked_is_still_done(store: StageStore, tmp_path: Path) -> None:
    publish(store)
    folder = store.workspace / ADDRESS.folder
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert store.inspect(ADDRESS, deep=True).status is StageStatus.DONE


def test_a_failed_stage_publishes_nothing_and_keeps_its_files(store: StageStore) -> None:
    with pytest.raises(ValueError, match="the stage's own"), store.writing(ADDRESS, {}) as work:
        (work / "train-00000.parquet").write_bytes(b"half")
        raise ValueError("the stage's own")
    assert store.inspect(ADDRESS).status is StageStatus.MISSING
    with store.writing(ADDRESS, {}) as work:
        assert (work / "train-00000.parquet").read_bytes() == b"half"


def test_facts_that_json_cannot_represent_publish_nothing_and_keep_the_work(store: StageStore) -> None:
    with pytest.raises(ValueError, match="JSON"), store.writing(ADDRESS, {}) as work:
        (work / "file").write_bytes(b"1")
        store.publish(ADDRESS, code_version=1, config={}, inputs={}, facts={"score": float("nan")})
    assert store.inspect(ADDRESS).status is StageStatus.MISSING
    assert publish(store).path


def test_a_replaced_copy_is_kept_completely(store: StageStore) -> None:
    for text in (b"first", b"second", b"third"):
        publish(store, files={"file": text})
    backups = store.workspace / "data_feat/RTE/.aside"
    assert sorted((folder / "file").read_bytes() for folder in backups.iterdir()) == [b"first", b"second"]
    assert (store.workspace / ADDRESS.folder / "file").read_bytes() == b"third"


def test_every_published_file_has_the_mode_of_a_new_file(store: StageStore) -> None:
    with store.writing(ADDRESS, {}) as work:
        (work / "weights").write_bytes(b"1")
        (work / "weights").chmod(0o600)
        store.publish(ADDRESS, code_version=1, config={}, inputs={}, facts={})
    new = store.workspace / "new"
    new.touch()
    folder = store.workspace / ADDRESS.folder
    assert {path.stat().st_mode for path in folder.iterdir()} == {new.stat().st_mode}


def test_publishing_leaves_no_work_folder(store: StageStore) -> None:
    publish(store)
    with store.writing(ADDRESS, {}):
        pass
    work = store.workspace / "data_feat/RTE/.work"
    assert [path.name for path in work.iterdir()] == ["tokens-0123456789abcdef.lock"]


def test_a_link_in_the_work_folder_is_not_published(store: StageStore) -> None:
    with pytest.raises(StoreError, match="neither a plain file"), store.writing(ADDRESS, {}) as work:
        (work / "link").symlink_to("/etc/hostname")
        store.publish(ADDRESS, code_version=1, config={}, inputs={}, facts={})


@pytest.mark.parametrize("part", ["../x", "a/b", "", ".work", "a b"])
def test_an_address_is_made_of_plain_names(part: str) -> None:
    with pytest.raises(AssertionError):
        Address("artifacts", part, "teacher", "0123456789abcdef")
    with pytest.raises(AssertionError):
        Address("artifacts", "RTE", part, "0123456789abcdef")
