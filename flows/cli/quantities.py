"""Sizes, durations and ages as people read them."""


def size(num_bytes: int) -> str:
    """Return a size.

    >>> size(2_000_000), size(1_234_000_000)
    ('2.0 MB', '1.23 GB')
    """
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Return an estimated duration.

    >>> duration(0.4), duration(40), duration(750), duration(10_000)
    ('about 1 s', 'about 40 s', 'about 12 min', 'about 2.8 h')
    """
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {seconds / 60:.0f} min" if seconds < 90 * 60 else f"about {seconds / 3600:.1f} h"


def age(seconds: float) -> str:
    """Return how long ago something was.

    >>> age(7_300), age(600_000)
    ('2 hours', '7 days')
    """
    days = seconds / 86_400
    return f"{days:.0f} days" if days >= 2 else f"{24 * days:.0f} hours"
