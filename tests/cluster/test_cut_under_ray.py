"""A Prefect task on a host that is cut off begins again on another, and Prefect sees it complete.

This needs no code of pkd: it holds what decisions about Ray and Prefect rest on, and where the servers listen.
"""

from pathlib import Path

import pytest

from cluster.hosts import missing_for_hosts, network
from cluster.listening import listeners
from cluster.ray_cluster import ray_cluster
from cluster.services import Services, services, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing_for_hosts()), reason=f"hosts need {missing_for_hosts()}"),
]
_SECONDS = 40
_FLOW = f"""
import os, socket, time
from pathlib import Path
from prefect import flow, task
from prefect_ray import RayTaskRunner
from prefect_ray.context import remote_options

@task
def work(name):
    with Path(f"/tmp/shared/{{name}}").open("a") as file:
        file.write(f"{{socket.gethostname()}} {{time.monotonic()}}\\n")
    end = time.monotonic() + {_SECONDS}
    while time.monotonic() < end:
        time.sleep(0.1)
    Path(f"/tmp/shared/{{name}}-{{socket.gethostname()}}").touch()
    return socket.gethostname()

@flow(task_runner=RayTaskRunner(address=os.environ["RAY"]))
def main():
    with remote_options(num_cpus=1, max_retries=3):
        futures = [work.submit(f"task{{number}}") for number in range(2)]
    print("done on", *[future.result() for future in futures])

main()
"""


def test_a_task_of_a_cut_host_begins_again_on_another(tmp_path: Path) -> None:
    with network(tmp_path / "hosts", ["head", "one", "two", "services"]) as (*hosts, server):
        shared = tmp_path / "hosts" / "shared"
        with services(server) as found, ray_cluster(hosts, [0, 1, 1], found.client_environment) as cluster:
            _assert_that_servers_listen_where_told(found, [one.address for one in listeners(server)])
            (hosts[0].folder / "flow.py").write_text(_FLOW, encoding="utf-8")
            driver = hosts[0].start(
                ["python", "flow.py"], "flow.log", {**cluster.environment, "RAY": cluster.address}
            )
            names = ("task0", "task1")
            wait_until(lambda: all((shared / name).is_file() for name in names), 120, "both tasks have begun")
            hosts[2].cut()
            assert driver.wait(timeout=300) == 0
            hosts[2].rejoin()
        begins = [[line.split() for line in (shared / name).read_text().splitlines()] for name in names]
        ((first, begin), (second, again)) = max(begins, key=len)
        assert (first, second) == ("two", "one")
        # 18 s until Ray calls the host dead, some more for the driver's connection to end; then a core must be free.
        assert 18 < float(again) - float(begin) < _SECONDS + 20
        output = (hosts[0].folder / "flow.log").read_text(encoding="utf-8")
        assert "done on one one" in output
        assert "Completed" in output
        # The cut host knew nothing of it, and did its task to the end.
        assert any(shared.glob("task*-two"))


def _assert_that_servers_listen_where_told(found: Services, addresses: list[str]) -> None:
    # Postgres is for the servers beside it alone.
    assert sorted(addresses) == sorted(["127.0.0.1", *[found.address] * 3])
