"""How a run computes, whatever it computes."""

from typing import Annotated

from pydantic import AfterValidator, Field, FiniteFloat

from pkd_core.config.placement import checked_placement
from pkd_core.config.section import Name, Section


class RunOptions(Section):
    """How a run computes: nothing here changes a result or its address.

    An option is added here alone: the command line, the flow and its deployment take their options from these fields.
    """

    device: Annotated[Name, Field(description="auto, cpu, cuda, cuda:1 ...")] = "auto"
    deep: Annotated[bool, Field(description="Hash every published file instead of comparing sizes.")] = False
    strict: Annotated[
        bool, Field(description="Stop before distilling a teacher that has learnt nothing.")
    ] = False
    checkpoint_minutes: Annotated[
        FiniteFloat,
        Field(
            ge=0,
            le=100_000,
            description="Minutes between a training's checkpoints, besides one after each epoch.",
        ),
    ] = 5.0
    processes: Annotated[
        int,
        Field(
            ge=1,
            le=64,
            description="Processes that divide each training and extraction, every one with a GPU of its own; "
            "accumulation_steps must be a multiple of it.",
        ),
    ] = 1
    cache_gb: Annotated[
        FiniteFloat,
        Field(
            gt=0,
            le=1_000_000,
            description="Gigabytes of copies that a machine keeps of a workspace that several machines share.",
        ),
    ] = 200.0
    placement: Annotated[
        Name,
        AfterValidator(checked_placement),
        Field(
            description="Where stages are computed: threads (of this process), ray (Ray, started on this machine for "
            "the run), or the address of a Ray cluster, as ray://HOST:PORT or HOST:PORT."
        ),
    ] = "threads"
    students_per_gpu: Annotated[
        int,
        Field(ge=1, le=64, description="Students that share a GPU at a time; with --placement ray only."),
    ] = 1
    mlflow_every: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="MLflow gets a training's losses of every so many steps; its dev scores, and the published "
            "metrics.jsonl, stay complete.",
        ),
    ] = 1
