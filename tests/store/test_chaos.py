"""Four machines at ten stages, killed and suspended at any moment, cut off at times: each stage is published once.

`--junitxml` shows what happened.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from chaos_worker import ADDRESSES, INPUTS, TERM
from fault_proxy import Schedule, fault_proxy
from machines import Machines
from s3_server import new_bucket, s3_environment

from pkd_core.store import attached
from pkd_core.store.inspection import StageStatus

pytestmark = pytest.mark.slow

NUM_MACHINES = 4
NUM_KILLS = 6
NUM_SLEEPS = 7
SECONDS = 420


class Chaos:
    """Processes of machines, started again when they were killed.

    Args:
        folder: For the machines' own folders and the events.
        url: The place.
        disk_fault_rate: The part of calls of a shared folder that fail.
        has_leases: Whether leases keep processes from computing the same stage.
    """

    def __init__(self, folder: Path, url: str, disk_fault_rate: float, has_leases: bool) -> None:
        self.events_file = folder / "events.jsonl"
        self._folder, self.url = folder, url
        self._settings = [str(disk_fault_rate), str(int(has_leases))]
        self._num_starts = 0
        self._asleep_until: dict[int, float] = {}
        self.processes = [self._start(machine) for machine in range(NUM_MACHINES)]

    def _start(self, machine: int) -> "subprocess.Popen[bytes]":
        self._num_starts += 1
        script = Path(__file__).with_name("chaos_worker.py")
        arguments = [self.url, self.events_file, str(self._num_starts), *self._settings]
        environment = os.environ | {
            "PKD_CACHE": str(self._folder / f"machine-{machine}"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        with (self._folder / f"output-{self._num_starts}.txt").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, script, *arguments], env=environment, stdout=output, stderr=output
            )

    def kill(self, machine: int) -> bool:
        """Kill a machine's process and start another; return False if it has ended already."""
        if self.processes[machine].poll() is not None:
            return False
        self.processes[machine].kill()
        self.processes[machine].wait()
        self._asleep_until.pop(machine, None)
        self.processes[machine] = self._start(machine)
        return True

    def suspend(self, machine: int) -> bool:
        """Suspend a machine's process for longer than a lease; return False if it has ended, or is suspended."""
        if self.processes[machine].poll() is not None or machine in self._asleep_until:
            return False
        self.processes[machine].send_signal(signal.SIGSTOP)
        self._asleep_until[machine] = time.monotonic() + 2.5 * TERM
        return True

    def wake(self) -> None:
        """Let those go on that were suspended for long enough."""
        for machine, until in list(self._asleep_until.items()):
            if time.monotonic() >= until:
                self.processes[machine].send_signal(signal.SIGCONT)
                del self._asleep_until[machine]

    def end(self) -> None:
        """End what still runs."""
        for process in self.processes:
            process.kill()
            process.wait()

    def events(self) -> list[dict[str, str]]:
        """Return what the processes have written; the last line of a killed one may be half a line."""
        found = []
        for line in self.events_file.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found


def run_through(chaos: Chaos) -> Counter[str]:
    """Kill and suspend processes until all have ended by themselves; return how often."""
    chance, done = random.Random(8), Counter[str]()
    acts = chance.sample([chaos.kill] * NUM_KILLS + [chaos.suspend] * NUM_SLEEPS, NUM_KILLS + NUM_SLEEPS)
    end = time.monotonic() + SECONDS
    while any(process.poll() is None for process in chaos.processes):
        assert time.monotonic() < end, "the stages are not published in time"
        time.sleep(chance.uniform(0.3, 1.5))
        chaos.wake()
        if acts and acts[-1](chance.randrange(NUM_MACHINES)):
            done[acts.pop().__name__] += 1
    assert [process.returncode for process in chaos.processes] == [0] * NUM_MACHINES
    return done


@pytest.fixture(params=["folder", "folder without leases", "s3", "s3 without leases"])
def chaos(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chaos]:
    """Machines whose way to the place is bad; the tests' own way is good."""
    schedule, has_leases = Schedule(seed=2, rate=0.1), "without" not in request.param
    with ExitStack() as stack:
        if "folder" in request.param:
            (tmp_path / "place").mkdir()
            chaos = Chaos(tmp_path, (tmp_path / "place").as_uri(), 0.03, has_leases)
        else:
            endpoint = request.getfixturevalue("endpoint")
            proxy = stack.enter_context(fault_proxy(endpoint, schedule))
            for name, value in s3_environment(proxy).items():
                monkeypatch.setenv(name, value)
            chaos = Chaos(tmp_path, f"s3://{new_bucket(endpoint)}/some/prefix", 0.0, has_leases)
            monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        stack.callback(chaos.end)
        yield chaos
    request.node.user_properties.append(("proxy", dict(schedule.counts)))


def test_each_stage_is_published_once_and_whole_even_without_leases(
    chaos: Chaos,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    began = time.monotonic()
    done = run_through(chaos)
    events = chaos.events()
    record_property("seconds", round(time.monotonic() - began, 1))
    record_property("done to processes", dict(done))
    record_property("disk of those not killed", [event["disk"] for event in events if "disk" in event])
    record_property("events", dict(Counter(event["event"] for event in events)))

    attached._opened.cache_clear()
    store = Machines(chaos.url, tmp_path / "observer", monkeypatch).store("a")
    for address in ADDRESSES:
        assert store.inspect(address, INPUTS, deep=True).status is StageStatus.DONE
        manifest = store.find_manifest(address)
        assert manifest is not None
        of_stage = [event for event in events if event["stage"] == address.stage]
        seen = [(event["attempt"], event["digest"]) for event in of_stage if event["event"] == "seen"]
        assert len(seen) >= NUM_MACHINES
        assert set(seen) == {(manifest.attempt, manifest.digest)}
        published = [event["attempt"] for event in of_stage if event["event"] == "published"]
        assert published in ([], [manifest.attempt])
    assert sum(event["event"] == "published" for event in events) >= len(ADDRESSES) - 2
    assert done == {"kill": NUM_KILLS, "suspend": NUM_SLEEPS}
