"""Small files of a source are transferred several at once, large ones one after the other."""

import threading
import time
from pathlib import Path

from pkd_core.places.folder import FolderObjects
from pkd_core.store.source_files import fetch_source, send_source

LARGE = (1 << 20) + 1


class CountingPlace(FolderObjects):
    """A folder that records how many transfers of each size were under way at once."""

    lock = threading.Lock()

    def count(self, size: int) -> None:
        running, most = self.__dict__.setdefault("running", {}), self.__dict__.setdefault("most", {})
        with self.lock:
            running[size] = running.get(size, 0) + 1
            most[size] = max(most.get(size, 0), running[size])
        time.sleep(0.1)
        with self.lock:
            running[size] -= 1

    def upload(self, path: Path, key: str) -> None:
        self.count(path.stat().st_size)
        super().upload(path, key)

    def download(self, key: str, path: Path) -> None:
        self.count((self.root / key).stat().st_size)
        super().download(key, path)


def test_only_small_files_share_the_line_and_all_arrive(tmp_path: Path) -> None:
    given, workspace = tmp_path / "given", tmp_path / "workspace"
    for folder in (given / "part", tmp_path / "place", workspace):
        folder.mkdir(parents=True)
    contents = {f"part/{number}": bytes([number]) for number in range(8)}
    contents |= {f"{number}.bin": bytes([number]) * LARGE for number in range(3)}
    for name, content in contents.items():
        (given / name).write_bytes(content)
    place = CountingPlace(tmp_path / "place")
    digest = send_source(place, given, contents)
    sent, place.__dict__["most"] = place.__dict__["most"], {}
    fetched = fetch_source(workspace, place, digest)
    for most in (sent, place.__dict__["most"]):
        assert most[1] > 1
        assert most[LARGE] == 1
    assert {name: (fetched / name).read_bytes() for name in contents} == contents
