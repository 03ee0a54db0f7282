"""Settings of how the latency of models is measured."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from pkd_core.config.section import Section


class LatencyConfig(Section):
    """Timing models on the task's own texts, on the CPU, in `pkd compress` alone: part of no training's address."""

    num_calls: Annotated[
        int,
        Field(
            ge=20,
            le=100_000,
            description="Calls of each model, each with one text of the dev split; with fewer than 100, the p99 is the "
            "slowest one.",
        ),
    ] = 300
    max_seconds: Annotated[
        FiniteFloat,
        Field(
            ge=0,
            le=3600,
            description="Ends a measurement before all calls are made; each model has at least 20 calls and a batch.",
        ),
    ] = 120.0
    threads: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="CPU threads of a model; on a busy machine several wait for each other.",
        ),
    ] = 1
