"""The geometry of a small plot: values become positions in a drawing of fixed size, which the page scales."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from matplotlib.ticker import Locator, LogLocator, MaxNLocator

WIDTH, HEIGHT = 360, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 40
_MARGIN = 0.06
_LOG_FROM = 20
_FEW_DECADES = 2.5


@dataclass(frozen=True)
class Tick:
    """A position on an axis, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Series:
    """Values to draw as a line.

    Attributes:
        name: What a reader calls it.
        style: Classes of the page's style sheet.
        points: Values (x, y).
    """

    name: str
    style: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """A value to draw as a dot, with an interval along x or y if it has one.

    Attributes:
        name: What a reader calls it.
        style: Classes of the page's style sheet.
        x: The value.
        y: The other one.
        low: Lower end of an interval of x.
        high: Its upper end.
        y_low: Lower end of an interval of y.
        y_high: Its upper end.
        scale: How many times larger than usual the dot is drawn.
    """

    name: str
    style: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    y_low: float | None = None
    y_high: float | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class DrawnLine:
    """A line as the path of a drawing."""

    name: str
    style: str
    path: str


@dataclass(frozen=True)
class DrawnMark:
    """A dot at a position of the drawing, the ends of its intervals, and how much larger than usual it is."""

    name: str
    style: str
    x: float
    y: float
    low: float
    high: float
    y_low: float
    y_high: float
    scale: float


@dataclass(frozen=True)
class Plot:
    """A drawing of `WIDTH` times `HEIGHT`, with y downwards."""

    title: str
    x_title: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    lines: Sequence[DrawnLine]
    marks: Sequence[DrawnMark]
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic scale from values to positions.

    >>> axis = Axis(0, 10, start=0, end=100)
    >>> axis.at(2.5), [tick.text for tick in axis.ticks(5)]
    (25.0, ['0', '2', '4', '6', '8', '10'])
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """Return a value's position."""
        low, high = self.low, self.high
        if self.is_log:
            value, low, high = log10(value), log10(low), log10(high)
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 2)

    def ticks(self, number: int) -> list[Tick]:
        """Return about so many round values within the axis."""
        locator: Locator = MaxNLocator(number)
        if self.is_log:
            decades = log10(self.high / self.low)
            locator = LogLocator(subs=(1.0,) if decades > _FEW_DECADES else (1.0, 2.0, 5.0), numticks=number)
        values = [float(value) for value in locator.tick_values(self.low, self.high)]
        return [Tick(self.at(value), f"{value:.6g}") for value in values if self.low <= value <= self.high]


def axis_over(values: Sequence[float], start: float, end: float, may_be_log: bool = False) -> Axis:
    """Return an axis with a margin around some values; a logarithmic one if it may be and they span decades."""
    low, high = min(values), max(values)
    if may_be_log and low > 0 and high / low > _LOG_FROM:
        ratio = (high / low) ** _MARGIN
        return Axis(low / ratio, high * ratio, start, end, is_log=True)
    margin = (high - low) * _MARGIN or abs(high) * _MARGIN or 1.0
    return Axis(low - margin, high + margin, start, end)


def draw(
    title: str,
    x_title: str,
    series: Sequence[Series] = (),
    marks: Sequence[Mark] = (),
    may_be_log: bool = False,
) -> Plot:
    """Return a plot of lines and dots; at least one of them.

    Args:
        title: Above the plot.
        x_title: Below it.
        series: Lines.
        marks: Dots.
        may_be_log: Whether y is logarithmic where the values span decades.
    """
    xs = [x for one in series for x, _ in one.points]
    xs += [x for one in marks for x in (one.x, one.low, one.high) if x is not None]
    ys = [y for one in series for _, y in one.points] + [one.y for one in marks]
    ys += [y for one in marks for y in (one.y_low, one.y_high) if y is not None]
    x_axis = axis_over(xs, _LEFT, WIDTH - _RIGHT)
    y_axis = axis_over(ys, HEIGHT - _BOTTOM, _TOP, may_be_log)
    lines = [
        DrawnLine(
            one.name, one.style, "M" + "L".join(f"{x_axis.at(x)} {y_axis.at(y)}" for x, y in one.points)
        )
        for one in series
    ]
    drawn = [
        DrawnMark(
            one.name,
            one.style,
            x_axis.at(one.x),
            y_axis.at(one.y),
            x_axis.at(one.x if one.low is None else one.low),
            x_axis.at(one.x if one.high is None else one.high),
            y_axis.at(one.y if one.y_low is None else one.y_low),
            y_axis.at(one.y if one.y_high is None else one.y_high),
            one.scale,
        )
        for one in marks
    ]
    return Plot(title, x_title, x_axis.ticks(5), y_axis.ticks(5), lines, drawn)
