"""Whether what is about to be written will fit on the disk."""

import shutil
from pathlib import Path

from pkd_core.errors import StoreError


def check_room(folder: Path, num_bytes: int, purpose: str, advice: str = "free some") -> None:
    """Check, before hours are spent, that a number of bytes will fit.

    Args:
        folder: Where they will be written.
        num_bytes: How many.
        purpose: What they are, such as "teacher states".
        advice: What to do if they do not fit.

    Raises:
        StoreError: If they will not.
    """
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise StoreError(
            f"{folder}: expected {_shown(num_bytes)} of free disk for {purpose}, got {_shown(free)}; {advice}"
        )


def _shown(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.2f} MB"
