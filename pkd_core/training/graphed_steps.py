"""Steps on CUDA whose kernels are launched together, as CUDA graphs, with the weights cast once a step.

A step of BERT-base runs a thousand kernels of a few microseconds each. Launched one by one they leave the GPU idle most
of the time; captured in a graph, one call launches them all. A graph belongs to the shapes of its tensors and to their
addresses, so each shape of a batch gets its own graph, with inputs that every replay overwrites.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from pkd_core.model.dropout import KeepMasks, exclusive_generator, make_masks
from pkd_core.training.batches import MicroBatch, StepBatch
from pkd_core.training.optimizer import set_learning_rate, update
from pkd_core.training.steps import Learner, StepLosses

# A shape that occurs once is not worth its capture.
_RUNS_BEFORE_CAPTURE = 1
_MAX_GRAPHS = 64


class CapturedGraph:
    """A computation's kernels, to be launched together.

    Args:
        compute: Runs kernels, and returns a tensor that they write.
        pool: Memory that all graphs of a training share, because only one runs at a time.
    """

    def __init__(self, compute: Callable[[], Tensor], pool: Any) -> None:
        self._graph = torch.cuda.CUDAGraph()
        # The prefetching thread goes on to use the device meanwhile.
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._output = compute()

    def replay(self) -> Tensor:
        """Run the kernels, and return a copy of what they write."""
        self._graph.replay()
        return self._output.clone()


class GraphedSteps:
    """Steps of a learner whose attention needs no padding.

    The encoder and the pooler are computed from a copy of their weights in the learner's dtype; the optimizer moves the
    float32 weights, and each update ends by copying them. Each weight keeps one gradient tensor.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        weights = [weight for group in learner.optimizer.param_groups for weight in group["params"]]
        self._model = _cast_copy(learner.model, learner.dtype)
        copies = dict(zip(map(id, learner.model.parameters()), self._model.parameters(), strict=True))
        self._computed = [copies.get(id(weight), weight) for weight in weights]
        self._cast = [
            (copied, weight)
            for copied, weight in zip(self._computed, weights, strict=True)
            if copied is not weight
        ]
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        self._gradients = [weight.grad for weight in weights]
        self._learning_rate = torch.zeros((), device=learner.device)
        set_learning_rate(learner.optimizer, self._learning_rate)
        self._names: tuple[str, ...] = ()
        self._pool = torch.cuda.graph_pool_handle()
        self._num_runs: dict[Any, int] = {}
        self._parts: dict[Any, tuple[MicroBatch, CapturedGraph]] = {}
        self._num_updates = 0
        self._update_graph: CapturedGraph | None = None

    def run(self, batch: StepBatch, learning_rate: float) -> StepLosses:
        """Accumulate the gradients of the micro-batches, and move the weights."""
        first, *others = batch.micro_batches
        with exclusive_generator(self._learner.device):
            losses = self._run_part(first, is_first=True)
            for micro in others:
                losses = losses + self._run_part(micro, is_first=False)
            if self._learner.group.size > 1:
                self._learner.group.add_up([*self._learner.gradients(), losses])
            norm = self._run_update(learning_rate)
        return StepLosses(dict(zip(self._names, losses.unbind(), strict=True)), norm)

    def _run_part(self, micro: MicroBatch, is_first: bool) -> Tensor:
        masks = make_masks(self._learner.device, *micro.mask_seeds)
        key = (
            is_first,
            micro.fraction,
            micro.batch.layout.longest,
            *(each.shape for each in _tensors(micro)),
        )
        if key not in self._parts:
            num_runs = self._num_runs[key] = self._num_runs.get(key, 0) + 1
            if num_runs <= _RUNS_BEFORE_CAPTURE or len(self._parts) == _MAX_GRAPHS:
                return self._compute(micro, masks, is_first)
            inputs = _copy(micro)
            self._parts[key] = (
                inputs,
                CapturedGraph(lambda: self._compute(inputs, masks, is_first), self._pool),
            )
        inputs, graph = self._parts[key]
        for target, value in zip(_tensors(inputs), _tensors(micro), strict=True):
            target.copy_(value)
        return graph.replay()

    def _compute(self, micro: MicroBatch, masks: KeepMasks, is_first: bool) -> Tensor:
        """Write or add a micro-batch's gradients, and return its losses times its fraction."""
        losses = self._learner.losses(micro, masks, self._model)
        gradients = torch.autograd.grad(
            losses.total * micro.fraction, self._computed, allow_unused=True, materialize_grads=True
        )
        for dtype in {gradient.dtype for gradient in gradients}:
            pairs = [pair for pair in zip(self._gradients, gradients, strict=True) if pair[1].dtype == dtype]
            targets, values = [target for target, _ in pairs], [value for _, value in pairs]
            if is_first:
                torch._foreach_copy_(targets, values)
            else:
                torch._foreach_add_(targets, values)
        self._names = tuple(losses.named())
        return torch.stack([value.detach() for value in losses.named().values()]) * micro.fraction

    def _run_update(self, learning_rate: float) -> Tensor:
        self._learning_rate.fill_(learning_rate)
        self._num_updates += 1
        if self._num_updates <= _RUNS_BEFORE_CAPTURE:
            return self._update()
        if self._update_graph is None:
            self._update_graph = CapturedGraph(self._update, self._pool)
        return self._update_graph.replay()

    def _update(self) -> Tensor:
        learner = self._learner
        norm = update(learner.optimizer, learner.rule, learner.max_grad_norm)
        copies, weights = zip(*self._cast, strict=True)
        with torch.no_grad():
            torch._foreach_copy_(copies, weights)
        return norm


def _cast_copy(model: BertForSequenceClassification, dtype: torch.dtype) -> BertForSequenceClassification:
    """Return a model with the same embeddings and classifier, and a copy of the rest in another dtype."""
    shared = (model.bert.embeddings, model.classifier)
    copied: BertForSequenceClassification = deepcopy(model, {id(module): module for module in shared})
    assert copied.bert.pooler is not None, "a sequence classifier has one"
    for module in (copied.bert.encoder, copied.bert.pooler):
        torch.nn.Module.to(module, dtype)
    return copied


def _tensors(micro: MicroBatch) -> Sequence[Tensor]:
    """Return the tensors that a computation without padding reads."""
    batch, teacher = micro.batch, micro.teacher
    assert batch.labels_B is not None, "training needs labels"
    inputs: tuple[Tensor, ...] = (
        batch.input_ids_T,
        batch.token_type_ids_T,
        batch.position_ids_T,
        batch.cls_positions_B,
        batch.layout.starts_S,
        batch.labels_B,
    )
    if batch.choices_V is not None:
        inputs = (*inputs, batch.choices_V)
    return inputs if teacher is None else (*inputs, teacher.logits_BC, teacher.cls_states_BMD)


def _copy(micro: MicroBatch) -> MicroBatch:
    """Return a micro-batch with tensors of its own."""
    batch, teacher = micro.batch, micro.teacher
    assert batch.labels_B is not None, "training needs labels"
    return replace(
        micro,
        batch=replace(
            batch,
            input_ids_T=batch.input_ids_T.clone(),
            token_type_ids_T=batch.token_type_ids_T.clone(),
            position_ids_T=batch.position_ids_T.clone(),
            cls_positions_B=batch.cls_positions_B.clone(),
            layout=replace(batch.layout, starts_S=batch.layout.starts_S.clone()),
            labels_B=batch.labels_B.clone(),
            choices_V=None if batch.choices_V is None else batch.choices_V.clone(),
        ),
        teacher=None
        if teacher is None
        else replace(
            teacher, logits_BC=teacher.logits_BC.clone(), cls_states_BMD=teacher.cls_states_BMD.clone()
        ),
    )
