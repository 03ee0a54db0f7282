"""Which points of a round are tried: all of them, or those that Optuna suggests."""

from pathlib import Path

from pkd_core.pipeline.search import Sampler, try_grid
from pkd_core.pipeline.search_plan import Search


def sampler_for(search: Search, record: Path | None = None) -> Sampler:
    """Return the sampler that a search asks for.

    Args:
        search: The search.
        record: The search's run record, beside which Optuna keeps its journal; None to keep nothing.

    Raises:
        ConfigError: It asks for Optuna, which is not installed.
    """
    if search.config.sampler == "grid":
        return try_grid
    from flows.search.tpe import Tpe

    return Tpe(search.config, record and record.with_suffix(".optuna.log"))
