"""What a training step on a GPU spends its time on: kernels, and the gaps between them."""

from collections import defaultdict
from collections.abc import Iterator

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.workload import BERT_BASE, make_model, make_table
from pkd_core.config.settings import TrainingConfig
from pkd_core.training.batches import BatchLoader, StepBatch
from pkd_core.training.graphed_steps import GraphedSteps
from pkd_core.training.optimizer import make_optimizer
from pkd_core.training.steps import Learner
from pkd_core.training.update_rules import update_rule

_NUM_STEPS = 20


def profile_teacher(task: str, device: torch.device) -> Iterator[str]:
    """Yield lines: kernels of a step of BERT-base's fine-tuning, the longest first, and how busy the GPU is."""
    settings = TrainingConfig(learning_rate=1e-5, precision="bfloat16")
    rule = update_rule(settings)
    model = make_model(BERT_BASE, BERT_BASE.num_layers).to(device)  # type: ignore[arg-type]
    optimizer = make_optimizer(model, settings, rule, device)
    steps = GraphedSteps(Learner(model, None, False, optimizer, rule, 1.0, torch.bfloat16, device))
    loader = BatchLoader(make_table(task, 32 * 60), settings, None, 1, device, with_padding=False)
    batches: list[StepBatch] = list(loader.epoch(1))
    for batch in batches * 3:
        steps.run(batch, 1e-5)
    torch.cuda.synchronize(device)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for batch in batches[:_NUM_STEPS]:
            steps.run(batch, 1e-5)
        torch.cuda.synchronize(device)
    seconds: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    begins, ends = [], []
    for event in profiler.events():
        if event.device_type.name == "CUDA":
            seconds[event.name] += event.time_range.elapsed_us()
            counts[event.name] += 1
            begins.append(event.time_range.start)
            ends.append(event.time_range.end)
    span = (max(ends) - min(begins)) / _NUM_STEPS
    busy = sum(seconds.values()) / _NUM_STEPS
    yield f"{task}: {span:.0f} us a step, {busy:.0f} us in {sum(counts.values()) // _NUM_STEPS} kernels"
    for name, total in sorted(seconds.items(), key=lambda item: -item[1])[:28]:
        yield f"{total / _NUM_STEPS:8.1f} us {counts[name] / _NUM_STEPS:6.1f} x  {name[:110]}"
