"""The first layers of an exported BERT as a model of its own: exporting each depth anew takes many times longer."""

from pathlib import Path
from typing import Any

from pkd_core.export.bundle_predict import FLOAT32

_LAYER_NORM = "LayerNormalization"


def export_shallower(bundle: Path, out: Path, num_layers: int) -> None:
    """Write the first layers of a bundle's float32 model as `out/model.onnx`, with its embeddings and its head.

    Args:
        bundle: Holds the ONNX model of a BERT classifier, as `export_onnx` writes it.
        out: An existing folder.
        num_layers: How many layers to keep, from 1 to as many as there are.
    """
    import onnx  # optional

    model = onnx.load(bundle / FLOAT32)
    graph = model.graph
    # The first follows the embeddings, and each layer has two: after its attention, and at its end. Weights' names say
    # less, since the exporter writes equal ones once.
    ends = [node.output[0] for node in graph.node if node.op_type == _LAYER_NORM][2::2]
    for node in graph.node:
        node.input[:] = [ends[num_layers - 1] if name == ends[-1] else name for name in node.input]
    _remove_unused(graph)
    onnx.save(model, out / FLOAT32)


def _remove_unused(graph: Any) -> None:
    """Remove the nodes and weights of a graph that its outputs do not depend on."""
    needed = {output.name for output in graph.output}
    # Each node comes after those that it reads.
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    weights = [weight for weight in graph.initializer if weight.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(nodes))
    graph.initializer.extend(weights)
