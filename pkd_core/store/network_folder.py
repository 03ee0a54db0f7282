"""Which folders lie on a file system that several machines may share, where locks and databases do not hold."""

from pathlib import Path

# Types of file systems as Linux names them; those of FUSE come after "fuse.".
_SHARED = {
    *(
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "lustre",
        "gpfs",
        "beegfs",
        "glusterfs",
        "ceph",
        "afs",
        "wekafs",
    ),
    *(
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.glusterfs",
        "fuse.ceph-fuse",
        "fuse.rclone",
        "fuse.gcsfuse",
        "fuse.juicefs",
    ),
}
_MOUNTS = Path("/proc/mounts")


def network_type(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """Return the type of the network file system that a folder lies on, such as "nfs4"; None on a disk.

    Args:
        folder: The folder, which need not exist.
        mounts: What is mounted, in the form of /proc/mounts; on systems without it, every folder counts as on a disk.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    path, found, kind = folder.resolve(), Path(), None
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # Spaces and the like are written in octal.
        point = Path(fields[1].encode("latin-1", "replace").decode("unicode_escape"))
        # Of several mounts on one folder, the last one is seen.
        if path.is_relative_to(point) and len(point.parts) >= len(found.parts):
            found, kind = point, fields[2]
    return kind if kind in _SHARED else None
