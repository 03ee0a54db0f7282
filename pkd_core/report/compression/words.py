"""The text of single figures and names of a compression."""

from pkd_core.report.cells import ABSENT, metric_name, points, signed_points
from pkd_core.report.compression.content import FORMATS, Compression, Gap, Machine, Variant
from pkd_core.report.results import depth_name


def model_name(compression: Compression, variant: Variant) -> str:
    """Return a model's method and depth, and its seed where several models share these."""
    name = f"{variant.method}, {depth_name(variant.num_layers)}"
    same = {
        one.model
        for one in compression.variants
        if (one.method, one.num_layers) == (variant.method, variant.num_layers)
    }
    number = variant.model.rpartition("-s")[2]
    return f"{name}, seed {number}" if len(same) > 1 and number.isdecimal() else name


def variant_name(compression: Compression, variant: Variant) -> str:
    """Return a model's name with its format, such as "kd, 3 layers (ONNX, int8)"."""
    return f"{model_name(compression, variant)} ({FORMATS[variant.format]})"


def score_name(compression: Compression) -> str:
    """Return the name of the score, such as "macro F1"."""
    return metric_name(f"dev/{compression.metric}")


def constant_answer(compression: Compression) -> str:
    """Return what the baseline gives to every text, such as "most frequent answer"."""
    return "most frequent answer" if compression.labels else "mean score"


def megabytes(size_bytes: int | None) -> str:
    """Return a size in millions of bytes.

    >>> megabytes(17_600_000), megabytes(438_000_000), megabytes(90_000)
    ('17.6', '438', '0.09')
    """
    return ABSENT if size_bytes is None else _short(size_bytes / 1e6)


def milliseconds(value: float | None) -> str:
    """Return milliseconds with two or three digits.

    >>> milliseconds(1.83), milliseconds(0.512), milliseconds(104.4)
    ('1.8', '0.51', '104')
    """
    return ABSENT if value is None else _short(value)


def times(ratio: float) -> str:
    """Return how many times more something is, with two or three digits.

    >>> times(8.67), times(12.34), times(0.95)
    ('8.7', '12', '0.95')
    """
    return f"{ratio:.0f}" if ratio >= 10 else _short(ratio)


def share(fraction: float | None) -> str:
    """Return a share in per cent."""
    return ABSENT if fraction is None else f"{points(fraction)} %"


def p50(variant: Variant) -> str:
    """Return a variant's median time in milliseconds."""
    return milliseconds(variant.timing.p50_ms if variant.timing else None)


def p99(variant: Variant) -> str:
    """Return the milliseconds that 99 of 100 texts take less than."""
    return milliseconds(variant.timing.p99_ms if variant.timing else None)


def interval(variant: Variant) -> str:
    """Return the ends of a score's interval."""
    return ABSENT if variant.interval is None else "–".join(map(points, variant.interval))


def signed(gap: Gap | None) -> str:
    """Return a difference in points with its sign."""
    return ABSENT if gap is None else signed_points(gap.difference)


def compared(gap: Gap | None, compression: Compression, than: str) -> str:
    """Return how a score differs from that of `than`, and whether that may be chance.

    Such as "2.5 points lower than the teacher's (10 of 400 test examples; 95 % interval -4.0 to -1.0)"; without a gap,
    the answers are the same.
    """
    if gap is None:
        return f"the same as {than}"
    size = f"{points(abs(gap.difference))} points {'lower' if gap.difference < 0 else 'higher'} than {than}"
    if size.startswith("0.0 "):
        size = f"{'almost ' if gap.difference else ''}the same as {than}"
    parts = [f"95 % interval {signed_points(gap.low)} to {signed_points(gap.high)}"]
    if gap.num_examples:
        parts.insert(0, f"{abs(gap.num_examples)} of {compression.num_examples} {compression.split} examples")
    if gap.difference and not gap.is_distinguishable:
        parts.append("that may be chance")
    return f"{size} ({'; '.join(parts)})"


def where(machine: Machine) -> str:
    """Return where the timing was done, such as "AMD EPYC 7B13, 1 CPU thread"."""
    return f"{machine.name}, {machine.threads} CPU thread{'s' if machine.threads > 1 else ''}"


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"
