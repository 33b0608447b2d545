"""The integer network as ONNX, built node by node: every value is a whole number that its type holds exactly.

`model.onnx` takes uint8 images `(N, C, H, W)` and runs all T steps in a Loop, so its size does not grow with T; what
the image drives is computed once, before the loop. Of a network in time it takes `(N, T, C, H, W)`, and the loop takes
the frame of each step. `step.onnx` computes one step of an image or a frame, with the state as inputs and outputs.

Two flavours. `float32` keeps drives and potentials in units of 1/64 of a weight as whole numbers below 2**24, which
float32 holds exactly in any order of summation, as long as no algorithm with fractions (Winograd, FFT) is chosen: ONNX
Runtime's CPU kernels choose none. `int8` uses MatMulInteger with int32 sums: a convolution is the product of its
windows and the weights, for ONNX Runtime takes ten times as long for ConvInteger, which is left for large weights in
groups.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from kdsnn.export.onnx.flavours import Flavour
from kdsnn.export.onnx.graph import NUMBER, Graph, pooled, value_info
from kdsnn.export.onnx.tallies import TALLIES, tally_output
from kdsnn.network import DECAY_UNITY, Network, Shape, neuron_of

__all__ = ["POTENTIALS", "TALLIES", "TRAIN", "step_model", "to_onnx"]

OPSET = 17
IR_VERSION = 8
TRAIN = "train."  # begins the names of outputs of a population
POTENTIALS = "potentials"


def to_onnx(
    network: Network, *, flavour: Flavour = "float32", tallies: bool = False, trains: Sequence[str] = ()
) -> onnx.ModelProto:
    """The whole model: images in, counts out.

    Its outputs are `counts` int64 `(N, classes)`, the spikes of each output neuron over T, `layer_spikes` int64
    `(N, populations)` and, where the output is an integrator, `potentials` int32 `(N, classes)`: what is there after
    the last step, 64 to a weight unit.

    Args:
        network: an integer network.
        flavour: of the arithmetic; both are exact.
        tallies: put out, besides, `tallies` int64 `(populations, 6)`, counted in the graph: spikes, synaptic operations
            and input multiply-accumulates (each dense, then effective), and neuron updates of all images
            (`kdsnn.network.counters`).
        trains: populations whose spikes to put out, besides, as `train.NAME` uint8 `(T, N, *shape)`.
    """
    outer = Graph(network, flavour)
    messages, driven = "", {}
    if network.static:
        messages = outer.messages("image")
        heard = [p for p in network.projections if p.source == network.input.name]
        driven = {p.name: outer.constant_drive(p, messages) for p in heard}
    states = _states(network, messages_counted=tallies and not network.static)
    batch = outer.add("Gather", outer.add("Shape", "image"), outer.integers([0]), axis=0)
    for state, shape in states.items():
        first = outer.filled(network.timesteps if state.startswith("n.") else 0)
        outer.add("ConstantOfShape", outer.concat([batch, outer.integers(shape)]), to=f"{state}.0", value=first)
    body = _loop_body(network, outer, driven, trains, states)
    ends = [f"{state}.end" for state in states]
    steps = outer.constant(np.array(network.timesteps, dtype=np.int64))
    inputs = [steps, "", *(f"{state}.0" for state in states)]
    outer.nodes.append(
        helper.make_node("Loop", inputs, [*ends, *(f"{TRAIN}{n}" for n in trains)], name="time", body=body)
    )
    kept = [value_info(f"{TRAIN}{n}", TensorProto.UINT8, ["T", "N", *network.population(n).shape]) for n in trains]
    return _model(
        network,
        outer,
        [*_totals(network, outer), *([tally_output(outer, messages)] if tallies else []), *kept],
        flavour,
        network.image_shape,
    )


def step_model(network: Network, *, flavour: Flavour = "float32") -> onnx.ModelProto:
    """One time step: `image` and the state in, `spikes` uint8 `(N, classes)` and the next state out; from zeros.

    The state of a population is `v.NAME` (times 64 to a weight unit), `u.NAME` where it has a current of its own, and
    `s.NAME`, its spikes, where it feeds itself. Of a network in time, `image` is the frame of the step.
    The score of an integrator is its `v.NAME.next` after the last step.
    """
    graph = Graph(network, flavour)
    sent = {network.input.name: graph.messages("image"), **_echoes(network)}
    states = {name: shape for name, shape in _states(network).items() if not name.startswith("n.")}
    for population in network.spiking:
        sent[population.name] = graph.population(population, sent)
    graph.add("Cast", graph.flat(sent[network.output.name]), to="spikes", dtype=TensorProto.UINT8)
    number = NUMBER[flavour]
    ends = [value_info(f"{name}.next", number, ["N", *shape]) for name, shape in states.items()]
    spikes = value_info("spikes", TensorProto.UINT8, ["N", network.output.neurons])
    inputs = [value_info(name, number, ["N", *shape]) for name, shape in states.items()]
    return _model(network, graph, [spikes, *ends], flavour, network.input.shape, inputs)


def _states(network: Network, *, messages_counted: bool = False) -> dict[str, tuple[int, ...]]:
    """What goes from step to step: potential and current, if they are remembered, spikes that come back, and counts.

    These are T less the steps without a spike; of the input, if its messages are counted in the loop, without any.
    """
    made: dict[str, tuple[int, ...]] = {}
    echoes = _echoes(network)
    for population in network.spiking:
        if pooled(network, population) is None:
            made[f"v.{population.name}"] = population.shape
        if neuron_of(population).decay_u != DECAY_UNITY:
            made[f"u.{population.name}"] = population.shape
        if population.name in echoes:
            made[f"s.{population.name}"] = population.shape
        made[f"n.{population.name}"] = population.shape
    if messages_counted:
        made[f"n.{network.input.name}"] = network.input.shape
    return made


def _echoes(network: Network) -> dict[str, str]:
    """The populations that feed themselves, with the names of what arrives in a step."""
    return {p.source: f"s.{p.source}" for p in network.projections if p.recurrent}


def _loop_body(
    network: Network,
    outer: Graph,
    driven: dict[str, str],
    trains: Sequence[str],
    states: dict[str, tuple[int, ...]],
) -> onnx.GraphProto:
    body = Graph(network, outer.flavour, prefix="step.", constants=outer.constants)  # a body sees the names around it
    number, sent, entry = NUMBER[outer.flavour], _echoes(network), network.input.name
    if not network.static:
        sent[entry] = body.messages(body.add("Gather", "image", "t", axis=1))
    if f"n.{entry}" in states:
        silent = body.add("Not", body.add("Cast", sent[entry], dtype=TensorProto.BOOL))
        body.add("Sub", f"n.{entry}", body.add("Cast", silent, dtype=number), to=f"n.{entry}.next")
    for population in network.spiking:
        name = population.name
        sent[name] = body.population(population, sent, driven)
        body.add("Sub", f"n.{name}", f"step.held.{name}", to=f"n.{name}.next")
    for name in trains:
        body.add("Cast", sent[name], to=f"step.{name}", dtype=TensorProto.UINT8)
    scans = [value_info(f"step.{name}", TensorProto.UINT8, ["N", *network.population(name).shape]) for name in trains]
    body.add("Identity", "going", to="going.next")
    inputs = [value_info("t", TensorProto.INT64, []), value_info("going", TensorProto.BOOL, [])]
    inputs += [value_info(name, number, ["N", *shape]) for name, shape in states.items()]
    outputs = [value_info("going.next", TensorProto.BOOL, [])]
    outputs += [value_info(f"{name}.next", number, ["N", *shape]) for name, shape in states.items()]
    return helper.make_graph(body.nodes, "step", inputs, [*outputs, *scans])


def _totals(network: Network, graph: Graph) -> list[onnx.ValueInfoProto]:
    """Outputs made of the numbers of spikes at the end of the loop."""
    layers, made = [], []
    summed = _type_of_sums(network.timesteps * max(population.neurons for population in network.spiking))
    for population in network.spiking:
        number = graph.add("Cast", f"n.{population.name}.end", dtype=summed)
        layers.append(graph.add("ReduceSum", graph.flat(number), graph.integers([1]), keepdims=1))
    graph.add("Cast", graph.flat(f"n.{network.output.name}.end"), to="counts", dtype=TensorProto.INT64)
    graph.add("Cast", graph.concat(layers, axis=1), to="layer_spikes", dtype=TensorProto.INT64)
    if network.readout == "membrane":
        graph.add("Cast", graph.flat(f"v.{network.output.name}.end"), to=POTENTIALS, dtype=TensorProto.INT32)
        made.append(value_info(POTENTIALS, TensorProto.INT32, ["N", network.output.neurons]))
    return [
        value_info("counts", TensorProto.INT64, ["N", network.output.neurons]),
        value_info("layer_spikes", TensorProto.INT64, ["N", len(layers)]),
        *made,
    ]


def _type_of_sums(largest: int) -> int:
    """The type that ONNX Runtime adds up fastest, of those that hold this number and all below exactly."""
    if largest < 2**24:
        return TensorProto.FLOAT
    return TensorProto.INT32 if largest < 2**31 else TensorProto.INT64


def _model(
    network: Network,
    graph: Graph,
    outputs: Sequence[onnx.ValueInfoProto],
    flavour: Flavour,
    shown: Shape,
    inputs: Sequence[onnx.ValueInfoProto] = (),
) -> onnx.ModelProto:
    image = value_info("image", TensorProto.UINT8, ["N", *shown])
    made = helper.make_model(
        helper.make_graph(graph.nodes, network.name, [image, *inputs], outputs, list(graph.constants.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="kdsnn",
    )
    helper.set_model_props(
        made,
        {
            "kdsnn.fingerprint": network.fingerprint(),
            "kdsnn.flavour": flavour,
            "kdsnn.timesteps": str(network.timesteps),
            "kdsnn.labels": "\n".join(network.labels),
            "kdsnn.network.populations": "\n".join(p.name for p in network.spiking),
        },
    )
    onnx.checker.check_model(made)
    return made
