"""Ways to lose a host in the middle of a training, and what is then seen of the training."""

import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from cluster.hosts import Host
from cluster.lab import LONG
from cluster.ray_cluster import num_nodes
from cluster.scenario import Run
from cluster.services import wait_until
from cluster.watch import Event

_TRAINING = re.compile(rf"artifacts/{LONG}/(finetune|kd|pkd)[^/]*")


@dataclass(frozen=True)
class Loss:
    """A host that was lost while it trained, and came back after the training had been done elsewhere.

    Attributes:
        stage: Folder of the training that it computed.
        until_elsewhere: Seconds until another host had the training's lease.
        until_published: Seconds until the training was published.
        until_back: Seconds from its return until Ray counted it again.
        num_alive: How many of its processes that trained still lived when it came back.
        first_step: The first step that was shown of the training elsewhere.
        num_steps: How many steps it has.
    """

    stage: str
    until_elsewhere: float
    until_published: float
    until_back: float
    num_alive: int
    first_step: int
    num_steps: int


def cut_off(run: Run, victim: Host) -> Loss:
    """Cut a host off in the middle of a training, until the training is published elsewhere."""
    return _lose(run, victim, victim.cut, victim.rejoin)


def freeze(run: Run, victim: Host) -> Loss:
    """Stop a host as a whole in the middle of a training, until the training is published elsewhere."""
    return _lose(run, victim, victim.freeze, victim.thaw)


def kill_ray(run: Run, victim: Host) -> Loss:
    """Kill Ray's process of a host (`kill -9`) in the middle of a training; its supervisor starts it again."""

    def kill() -> None:
        assert victim.kill("raylet/raylet", signal.SIGKILL) == 1

    return _lose(run, victim, kill, lambda: None)


def _lose(run: Run, victim: Host, lose: Callable[[], None], give_back: Callable[[], None]) -> Loss:
    seen = run.wait_for(
        f"a checkpoint of a long training on {victim.name}", lambda seen: _halfway(seen, victim)
    )
    lose()
    lost = time.monotonic()
    again = run.wait_for("the training elsewhere", lambda events: _after(events, "lease", seen.stage, lost))
    published = run.wait_for("its manifest", lambda events: _after(events, "manifest", seen.stage, lost))
    num_alive = len(victim.processes("ray::student"))
    give_back()
    back = time.monotonic()
    head = run.lab.hosts[0]
    wait_until(lambda: num_nodes(head, run.lab.cluster) == len(run.lab.hosts), 180, "all hosts are in Ray")
    return Loss(
        seen.stage,
        again.seconds - lost,
        published.seconds - lost,
        time.monotonic() - back,
        num_alive,
        *_went_on(run.output(), _key(seen.stage)),
    )


def _halfway(events: list[Event], victim: Host) -> Event | None:
    """Return the newest checkpoint of a long training that only this host has begun and nobody has published."""
    for event in reversed(events):
        if event.what != "checkpoint" or not _TRAINING.fullmatch(event.stage):
            continue
        others = [one for one in events if one.stage == event.stage]
        holders = {one.host for one in others if one.what == "lease"}
        if holders == {victim.name} and not any(one.what == "manifest" for one in others):
            return event
    return None


def _key(stage: str) -> str:
    """Return the name that a run shows for a stage's folder, which ends in its fingerprint."""
    _, task, name = stage.split("/")
    return f"{task}/{name.rpartition('-')[0]}"


def _after(events: list[Event], what: str, stage: str, moment: float) -> Event | None:
    matching = (one for one in events if (one.what, one.stage) == (what, stage) and one.seconds > moment)
    return next(matching, None)


def _went_on(output: str, key: str) -> tuple[int, int]:
    """Return the first step that the run showed after it had said that the training's process died, and their number.

    A training that begins anew shows its first step; one that goes on shows the one after its checkpoint.
    """
    _, died, after = output.partition(f"{key}: its worker process died")
    shown = re.search(rf"{re.escape(key)}: (\d+) of (\d+) steps", after)
    assert died and shown, f"{key} was not begun again: {output[-3000:]}"
    return int(shown[1]), int(shown[2])
