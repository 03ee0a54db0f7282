"""The first look at a user's data, as lines for a terminal."""

from flows.cli.listing import wrapped
from pkd_core.pipeline.compress_data import FoundData


def first_look(found: FoundData) -> str:
    """Return what the data hold, how they were read, and what may be wrong with them; empty for a task."""
    if not found.table:
        return ""
    width = max(len(name) for name, _ in found.table)
    table = [wrapped(f"{name:{width}}  {value}", hanging=" " * (width + 2)) for name, value in found.table]
    return "\n".join([f"{found.task}:", *table, *(wrapped(note, "- ", "  ") for note in found.notes), ""])
