"""Stage: the teacher's logits and [CLS] states of every training example, in Arrow shards."""

from typing import Any

from pkd_core.data.batches import TokenTable
from pkd_core.engine.extraction import extract
from pkd_core.engine.models import load_finetuned
from pkd_core.stages.job import Job


def extract_states(job: Job) -> dict[str, Any]:
    """Run the teacher once over the training split; return rows, bytes and shape."""
    return extract(
        load_finetuned(job.inputs["teacher"]),
        TokenTable.load(job.inputs["tokens"], "train"),
        job.work,
        job.stage.config["states"]["dtype"],
        job.observer,
        device=job.context.torch_device,
    )
