"""Counts made inside the graph: what every message of every population reached, as `kdsnn.network.counters` defines it.

The synapses that leave a source neuron are found by a transposed convolution of ones, or by the sums of a matrix's
columns, over weights that are one where a synapse is; ONNX Runtime computes these once, when it loads the model.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from kdsnn.export.onnx.graph import Graph, value_info
from kdsnn.network import Conv2d, Population, Projection, Shape

__all__ = ["TALLIES", "tally_output"]

TALLIES = "tallies"
KINDS = 6  # spikes, synaptic operations and input multiply-accumulates (each dense, then effective), neuron updates


def tally_output(graph: Graph, messages: str) -> onnx.ValueInfoProto:
    """Adds `tallies` int64 `(populations, 6)` to a graph after its loop.

    Args:
        graph: with `n.NAME.end`, the number of spikes of each neuron of each image.
        messages: what the input population sends at every step; of an input in time `n.INPUT.end` is there, the number
            of nonzero messages.
    """
    network = graph.network
    entry = network.input.name
    if network.static:
        nonzero = graph.add("Cast", graph.add("Cast", messages, dtype=TensorProto.BOOL), dtype=TensorProto.INT64)
        shown = graph.add("ReduceSum", nonzero, graph.integers([0]), keepdims=0)
        emitted = {entry: graph.add("Mul", shown, graph.integers([network.timesteps]))}
    else:
        emitted = {entry: _over_images(graph, f"n.{entry}.end")}
    images = graph.add("Gather", graph.add("Shape", "image"), graph.integers([0]), axis=0)
    rows = []
    for population in network.spiking:
        emitted[population.name] = _over_images(graph, f"n.{population.name}.end")
        spikes = _total(graph, emitted[population.name])
        updates = graph.add("Mul", images, graph.integers([population.neurons * network.timesteps]))
        rows.append(graph.concat([spikes, *_reached(graph, population, emitted), updates]))
    stacked = graph.concat(rows)
    graph.add("Reshape", stacked, graph.integers([len(rows), KINDS]), to=TALLIES)
    return value_info(TALLIES, TensorProto.INT64, [len(rows), KINDS])


def _reached(graph: Graph, population: Population, emitted: dict[str, str]) -> list[str]:
    """Synaptic operations and input multiply-accumulates of what enters a population, dense and effective ones."""
    network, zero = graph.network, graph.integers([0])
    synops, macs = [zero, zero], [zero, zero]
    for projection in network.incoming(population.name):
        source = network.population(projection.source)
        ones, carried = np.ones_like(projection.op.weight), emitted[source.name]
        if projection.recurrent:  # the last step's spikes do not arrive
            carried = graph.add("Sub", carried, _over_images(graph, f"s.{source.name}.end"))
        present = (projection.op.weight != 0).astype(ones.dtype)
        sums = macs if network.graded(projection) else synops
        for kind, mask in enumerate((ones, present)):
            events = _events(graph, projection, source.shape, mask, carried)
            sums[kind] = graph.add("Add", sums[kind], events)
    return [*synops, *macs]


def _events(graph: Graph, projection: Projection, source: Shape, mask: npt.NDArray[np.integer], emitted: str) -> str:
    """The sum over source neurons of what each emitted times the synapses that leave it, int64 `(1,)`."""
    op = projection.op
    if isinstance(op, Conv2d):
        fans = _sent_back(graph, op, source, mask)
    else:
        per_neuron = graph.constant(mask.sum(axis=0, dtype=np.int64))
        fans = graph.add("Reshape", per_neuron, graph.integers(source))
    return _total(graph, graph.add("Mul", emitted, fans))


def _sent_back(graph: Graph, op: Conv2d, source: Shape, mask: npt.NDArray[np.integer]) -> str:
    channels, kernel = source[0], mask.shape[2:]
    per_channel = mask.reshape(op.groups, -1, *mask.shape[1:]).sum(axis=1).reshape(channels, 1, *kernel)
    size = op.output_shape(source)[1:]
    reached = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1
        for n, s, p, d, k in zip(size, op.stride, op.padding, op.dilation, kernel, strict=True)
    ]
    back = graph.add(
        "ConvTranspose",
        graph.constant(np.ones((1, channels, *size), dtype=np.float32)),
        graph.constant(per_channel.astype(np.float32)),  # whole numbers, exact below 2**24
        strides=op.stride,
        pads=[*op.padding, *op.padding],
        output_padding=[n - r for n, r in zip(source[1:], reached, strict=True)],
        dilations=op.dilation,
        group=channels,
    )
    whole = graph.add("Cast", back, dtype=TensorProto.INT64)
    return graph.add("Reshape", whole, graph.integers(source))


def _over_images(graph: Graph, value: str) -> str:
    """Whole numbers `(N, *shape)` added up over the images, int64."""
    return graph.add("ReduceSum", graph.add("Cast", value, dtype=TensorProto.INT64), graph.integers([0]), keepdims=0)


def _total(graph: Graph, values: str) -> str:
    """The sum of all elements, `(1,)`."""
    return graph.add("ReduceSum", graph.add("Reshape", values, graph.integers([-1])), keepdims=1)
