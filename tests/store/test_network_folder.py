"""Which folders lie on a network file system, by what is mounted."""

from pathlib import Path

import pytest

from pkd_core.store.network_folder import network_type

MOUNTS = """\
overlay / overlay rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
tmpfs /home/local tmpfs rw 0 0
//server/data /mnt/our\\040data cifs rw 0 0
bucket /mnt/bucket fuse.s3fs rw 0 0
/dev/sdb1 /mnt/disk ext4 rw 0 0
scratch /mnt/disk lustre rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/work/demo", None),
        ("/home/ada/demo", "nfs4"),
        ("/home", "nfs4"),
        ("/home/local/demo", None),
        ("/homes/ada", None),
        ("/mnt/our data/demo", "cifs"),
        ("/mnt/bucket/x", "fuse.s3fs"),
        ("/mnt/disk/demo", "lustre"),
    ],
)
def test_the_nearest_and_newest_mount_decides(tmp_path: Path, folder: str, expected: str | None) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS, encoding="utf-8")
    assert network_type(Path(folder), mounts) == expected


def test_without_a_list_of_mounts_every_folder_counts_as_on_a_disk(tmp_path: Path) -> None:
    assert network_type(tmp_path, tmp_path / "absent") is None
