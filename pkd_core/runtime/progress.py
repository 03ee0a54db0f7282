"""How far a running stage is, and how fast: what a log line or a progress bar shows of it."""

from collections import deque
from collections.abc import Mapping

_LOSS = "train/total"
_DEV = "dev/"
_SECONDS_OF_RATE = 60.0
_SECONDS_BETWEEN_SAMPLES = 1.0


class Progress:
    """The state of a stage, as its observer learns it.

    Attributes:
        done: How much is done.
        total: Of how much.
        unit: What is counted, such as "steps".
        rate: Units a second over the last minute; None before there are two reports.
        loss: The last training loss, if there was one.
        score: The last dev score, from 0 to 1, of the metric that selects the best epoch, if there was one.
        metric: That metric.
    """

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.unit = ""
        self.rate: float | None = None
        self.loss: float | None = None
        self.score: float | None = None
        self.metric = ""
        self._samples: deque[tuple[float, int]] = deque()

    @property
    def fraction(self) -> float:
        """How much of the total is done, from 0 to 1."""
        return self.done / max(self.total, 1)

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes at the present rate."""
        return (self.total - self.done) / self.rate if self.rate else None

    def update(self, done: int, total: int, unit: str, now: float) -> None:
        """Take a report of progress, received at `now` (seconds of any clock)."""
        if (total, unit) != (self.total, self.unit) or done < self.done:
            # A stage may count several things, one after the other.
            self._samples.clear()
        self.done, self.total, self.unit = done, total, unit
        if not self._samples or now - self._samples[-1][0] >= _SECONDS_BETWEEN_SAMPLES:
            self._samples.append((now, done))
        while now - self._samples[0][0] > _SECONDS_OF_RATE and len(self._samples) > 1:
            self._samples.popleft()
        since, done_then = self._samples[0]
        self.rate = (done - done_then) / (now - since) if now > since else None

    def add_metrics(self, values: Mapping[str, float]) -> None:
        """Take metric values, such as {"train/total": 0.3} or {"dev/accuracy": 0.9}."""
        self.loss = values.get(_LOSS, self.loss)
        # The first one selects the best epoch.
        first = next((name for name in values if name.startswith(_DEV)), None)
        if first is not None:
            self.metric, self.score = first.removeprefix(_DEV), values[first]

    def describe(self) -> str:
        """Return a line such as "640 of 2490 steps (26 %), 22 steps/s, 1:24 left, loss 0.312, dev accuracy 90.4"."""
        parts = [f"{self.done} of {self.total} {self.unit} ({100 * self.fraction:.0f} %)"]
        if self.rate and not self.unit.startswith("seconds"):
            parts.append(f"{rounded(self.rate)} {self.unit}/s")
        if self.seconds_left is not None:
            parts.append(f"{clock(self.seconds_left)} left")
        if self.loss is not None:
            parts.append(f"loss {self.loss:.3g}")
        if self.score is not None:
            parts.append(f"dev {self.metric} {100 * self.score:.1f}")
        return ", ".join(parts)


def rounded(rate: float) -> str:
    """Return a rate of three digits at least, such as "0.25", "22.5" or "1340"."""
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"


def clock(seconds: float) -> str:
    """Return a time as "1:24" (minutes and seconds) or "2:01:24"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
