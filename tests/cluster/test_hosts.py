"""The hosts of these tests are apart from each other and from this machine, and nothing is left of them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.hosts import Host, missing_for_hosts, network

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing_for_hosts()), reason=f"hosts need {missing_for_hosts()}"),
]
_SERVE = ["python", "-m", "http.server", "--bind"]
_FETCH = """
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=2).status)
except OSError as error:
    print(error)
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Host]]:
    with network(tmp_path / "hosts", ["first", "second"]) as hosts:
        yield hosts


def _fetch(host: Host, url: str) -> str:
    return host.run([sys.executable, "-c", _FETCH, url]).strip()


def _fetch_when_up(host: Host, url: str) -> str:
    for _ in range(100):
        if (answer := _fetch(host, url)) == "200":
            break
        time.sleep(0.1)
    return answer


def test_a_host_has_its_own_name_and_folders_and_no_way_to_this_machine(hosts: list[Host]) -> None:
    first, second = hosts
    assert [host.run(["hostname"]).strip() for host in hosts] == ["first", "second"]
    boots = [host.run(["cat", "/proc/sys/kernel/random/boot_id"]) for host in hosts]
    assert len({*boots, Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")}) == 3
    assert socket.gethostname() not in ("first", "second")
    first.run(["bash", "-c", "echo private > /tmp/note; echo for-all > /tmp/shared/note; echo $HOME"])
    assert second.run(["bash", "-c", "ls /tmp/note 2>&1 || cat /tmp/shared/note"]).endswith("\nfor-all\n")
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        assert "refused" in _fetch(first, f"http://127.0.0.1:{port}")
        assert "unreachable" in _fetch(first, f"http://192.0.2.2:{port}")


def test_a_cut_host_waits_in_silence_and_goes_on_when_it_rejoins(hosts: list[Host]) -> None:
    first, second = hosts
    first.start([*_SERVE, first.address], "server.log")
    assert _fetch_when_up(second, "http://first:8000") == "200"
    for cut in (first, second):
        cut.cut()
        assert "timed out" in _fetch(second, "http://first:8000")
        assert _fetch(first, "http://first:8000") == "200"
        cut.rejoin()
        assert _fetch_when_up(second, "http://first:8000") == "200"


def test_a_frozen_host_does_nothing_until_it_thaws(hosts: list[Host]) -> None:
    first, _ = hosts
    count = "import time, pathlib\nfor n in range(9999): pathlib.Path('count').write_text(str(n)); time.sleep(0.01)"
    first.start([sys.executable, "-c", count], "count.log")
    path = first.folder / "count"
    time.sleep(1.0)
    first.freeze()
    time.sleep(0.1)
    stopped = path.read_text(encoding="ascii")
    time.sleep(0.5)
    assert path.read_text(encoding="ascii") == stopped
    first.thaw()
    time.sleep(0.5)
    assert path.read_text(encoding="ascii") != stopped


def test_nothing_is_left_when_the_maker_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from cluster.hosts import network\n"
        "with network(Path(sys.argv[1]), ['alone']) as (host,):\n"
        "    host.start(['sleep', '1000'], 'sleep.log')\n"
        "    time.sleep(0.5)\n"
        "    print(*host.processes(), host.first_process, host.switch, flush=True)\n"
        "    time.sleep(1000)\n"
    )
    maker = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "hosts")], stdout=subprocess.PIPE, text=True
    )
    assert maker.stdout is not None
    processes = [int(word) for word in maker.stdout.readline().split()]
    assert len(processes) > 3
    maker.kill()
    maker.communicate()
    end = time.monotonic() + 10
    while (alive := [one for one in processes if _is_alive(one)]) and time.monotonic() < end:
        time.sleep(0.05)
    assert alive == []


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{process}/status").read_text(encoding="utf-8")
