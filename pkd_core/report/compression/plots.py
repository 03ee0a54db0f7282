"""The picture of a compression: what each variant scores, takes and weighs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from pkd_core.latency.result import Format
from pkd_core.report.cells import points
from pkd_core.report.compression.content import FORMATS, Compression, Variant
from pkd_core.report.compression.words import megabytes, model_name, p50, score_name, variant_name
from pkd_core.report.page.plot import Mark, Plot, draw
from pkd_core.report.page.plots import style_of

# A shape of the page's dots for each format.
_SHAPES: Mapping[Format, str] = {"torch-float32": "d0", "onnx-float32": "d1", "onnx-int8": "d2"}
_LARGEST, _SMALLEST = 1.8, 0.7


@dataclass(frozen=True)
class TradeOff:
    """A plot with its keys: the name of each colour and of each shape, with its classes."""

    plot: Plot
    colours: Sequence[tuple[str, str]]
    shapes: Sequence[tuple[str, str]]


def trade_off(compression: Compression) -> TradeOff | None:
    """Return scores against a text's time, dots by size; None where nothing was timed."""
    shown = [one for one in compression.variants if one.timing and one.score is not None]
    if not shown:
        return None
    largest = max(one.size_bytes or 0 for one in shown) or 1
    plot = draw(
        f"{score_name(compression)} × 100 on {compression.split}, with 95 % interval",
        "milliseconds a text (p50)",
        marks=[_mark(compression, one, largest) for one in shown],
    )
    colours = {model_name(compression, one): f"{style_of_variant(one)} d0" for one in shown}
    shapes = {FORMATS[one.format]: f"m0 {_SHAPES[one.format]}" for one in shown}
    return TradeOff(
        plot,
        [(style, name) for name, style in colours.items()],
        [(style, name) for name, style in shapes.items()],
    )


def _mark(compression: Compression, variant: Variant, largest: int) -> Mark:
    assert variant.timing is not None and variant.score is not None, "only what was measured is drawn"
    low, high = variant.interval or (None, None)
    size = variant.size_bytes or largest
    name = (
        f"{variant_name(compression, variant)}: {points(variant.score)}, {p50(variant)} ms, "
        f"{megabytes(variant.size_bytes)} MB"
    )
    return Mark(
        name,
        f"{style_of_variant(variant)} {_SHAPES[variant.format]}",
        variant.timing.p50_ms,
        100 * variant.score,
        y_low=None if low is None else 100 * low,
        y_high=None if high is None else 100 * high,
        scale=round(max(_LARGEST * sqrt(size / largest), _SMALLEST), 2),
    )


def style_of_variant(variant: Variant) -> str:
    """Return the class of a variant's colour, which is that of its method in the report."""
    return style_of(variant.method, 0, ()).split()[0]
