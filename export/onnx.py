"""The integer network as ONNX, built node by node: every value is a whole number that its type holds exactly.

`model.onnx` takes uint8 images `(N, C, H, W)` and runs all T steps in a Loop, so its size does not grow with T; what
the image drives is computed once, before the loop. `step.onnx` computes one step, with the state as inputs and outputs.

Two flavours. `float32` keeps drives and potentials in units of 1/64 of a weight as whole numbers below 2**24, which
float32 holds exactly in any order of summation, as long as no algorithm with fractions (Winograd, FFT) is chosen: ONNX
Runtime's CPU kernels choose none. `int8` uses MatMulInteger with int32 sums: a convolution is the product of its
windows and the weights, for ONNX Runtime takes ten times as long for ConvInteger, which is left for large weights in
groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from kdsnn.network import DECAY_UNITY, MEMBRANE_SHIFT, Conv2d, Network, Population, Projection, Shape, neuron_of
from kdsnn.network.or_pool import max_pool

__all__ = ["EMITTED", "POTENTIALS", "TRAIN", "Flavour", "step_model", "to_onnx"]

Flavour = Literal["float32", "int8"]
OPSET = 17
IR_VERSION = 8
EMITTED, TRAIN = "emitted.", "train."  # begin the names of outputs of a population
POTENTIALS = "potentials"
LARGEST_PRODUCT = 2**22  # weights of a convolution without groups
NUMBER = {"float32": TensorProto.FLOAT, "int8": TensorProto.INT32}  # what drives and potentials are made of


def to_onnx(
    network: Network, *, flavour: Flavour = "float32", emitted: bool = False, trains: Sequence[str] = ()
) -> onnx.ModelProto:
    """The whole model: images in, counts out.

    Its outputs are `counts` int64 `(N, classes)`, the spikes of each output neuron over T, `layer_spikes` int64
    `(N, populations)` and, where the output is an integrator, `potentials` int32 `(N, classes)`: what is there after
    the last step, 64 to a weight unit.

    Args:
        network: an integer network.
        flavour: of the arithmetic; both are exact.
        emitted: put out, besides, `emitted.NAME` int64 in each population's shape, summed over images and steps.
        trains: populations whose spikes to put out, besides, as `train.NAME` uint8 `(T, N, *shape)`.
    """
    outer = _Graph(network, flavour)
    messages = _messages(outer)
    driven = {p.name: outer.constant_drive(p, messages) for p in network.projections if p.source == network.input.name}
    states = _states(network)
    batch = outer.add("Gather", outer.add("Shape", "image"), outer.integers([0]), axis=0)
    for state, shape in states.items():
        first = outer.filled(network.timesteps if state.startswith("n.") else 0)
        outer.add("ConstantOfShape", outer.concat([batch, outer.integers(shape)]), to=f"{state}.0", value=first)
    body = _loop_body(network, outer, driven, trains)
    ends = [f"{state}.end" for state in states]
    steps = outer.constant(np.array(network.timesteps, dtype=np.int64))
    inputs = [steps, "", *(f"{state}.0" for state in states)]
    outer.nodes.append(
        helper.make_node("Loop", inputs, [*ends, *(f"{TRAIN}{n}" for n in trains)], name="time", body=body)
    )
    kept = [_value(f"{TRAIN}{n}", TensorProto.UINT8, ["T", "N", *network.population(n).shape]) for n in trains]
    return _model(network, outer, [*_totals(network, outer, emitted=emitted), *kept], flavour)


def step_model(network: Network, *, flavour: Flavour = "float32") -> onnx.ModelProto:
    """One time step: `image` and the state in, `spikes` uint8 `(N, classes)` and the next state out; from zeros.

    The state of a population is `v.NAME` (times 64 to a weight unit), and `u.NAME` where it has a current of its own.
    The score of an integrator is its `v.NAME.next` after the last step.
    """
    graph = _Graph(network, flavour)
    sent = {network.input.name: _messages(graph)}
    states = {name: shape for name, shape in _states(network).items() if not name.startswith("n.")}
    for population in network.spiking:
        sent[population.name] = graph.population(population, sent)
    graph.add("Cast", graph.flat(sent[network.output.name]), to="spikes", dtype=TensorProto.UINT8)
    number = NUMBER[flavour]
    ends = [_value(f"{name}.next", number, ["N", *shape]) for name, shape in states.items()]
    spikes = _value("spikes", TensorProto.UINT8, ["N", network.output.neurons])
    inputs = [_value(name, number, ["N", *shape]) for name, shape in states.items()]
    return _model(network, graph, [spikes, *ends], flavour, inputs)


def _states(network: Network) -> dict[str, tuple[int, ...]]:
    """What goes from step to step: potential and current, if they are remembered; T less the steps without a spike."""
    made: dict[str, tuple[int, ...]] = {}
    for population in network.spiking:
        if _pooled(network, population) is None:
            made[f"v.{population.name}"] = population.shape
        if neuron_of(population).decay_u != DECAY_UNITY:
            made[f"u.{population.name}"] = population.shape
        made[f"n.{population.name}"] = population.shape
    return made


def _messages(graph: _Graph) -> str:
    """What the input population sends, uint8."""
    shift = graph.constant(np.array(8 - graph.network.input_bits, dtype=np.uint8))
    return graph.add("BitShift", "image", shift, direction="RIGHT")


def _loop_body(network: Network, outer: _Graph, driven: dict[str, str], trains: Sequence[str]) -> onnx.GraphProto:
    body = _Graph(network, outer.flavour, prefix="step.", constants=outer.constants)  # a body sees the names around it
    number, states = NUMBER[outer.flavour], _states(network)
    sent: dict[str, str] = {}
    for population in network.spiking:
        name = population.name
        sent[name] = body.population(population, sent, driven)
        body.add("Sub", f"n.{name}", f"step.held.{name}", to=f"n.{name}.next")
    for name in trains:
        body.add("Cast", sent[name], to=f"step.{name}", dtype=TensorProto.UINT8)
    scans = [_value(f"step.{name}", TensorProto.UINT8, ["N", *network.population(name).shape]) for name in trains]
    body.add("Identity", "going", to="going.next")
    inputs = [_value("t", TensorProto.INT64, []), _value("going", TensorProto.BOOL, [])]
    inputs += [_value(name, number, ["N", *shape]) for name, shape in states.items()]
    outputs = [_value("going.next", TensorProto.BOOL, [])]
    outputs += [_value(f"{name}.next", number, ["N", *shape]) for name, shape in states.items()]
    return helper.make_graph(body.nodes, "step", inputs, [*outputs, *scans])


def _totals(network: Network, graph: _Graph, *, emitted: bool) -> list[onnx.ValueInfoProto]:
    """Outputs made of the numbers of spikes at the end of the loop."""
    layers, made = [], []
    summed = _type_of_sums(network.timesteps * max(population.neurons for population in network.spiking))
    for population in network.spiking:
        number = graph.add("Cast", f"n.{population.name}.end", dtype=summed)
        layers.append(graph.add("ReduceSum", graph.flat(number), graph.integers([1]), keepdims=1))
        if emitted:
            total = graph.add("ReduceSum", number, graph.integers([0]), keepdims=0)
            graph.add("Cast", total, to=f"{EMITTED}{population.name}", dtype=TensorProto.INT64)
            made.append(_value(f"{EMITTED}{population.name}", TensorProto.INT64, population.shape))
    graph.add("Cast", graph.flat(f"n.{network.output.name}.end"), to="counts", dtype=TensorProto.INT64)
    graph.add("Cast", graph.concat(layers, axis=1), to="layer_spikes", dtype=TensorProto.INT64)
    if network.readout == "membrane":
        graph.add("Cast", graph.flat(f"v.{network.output.name}.end"), to=POTENTIALS, dtype=TensorProto.INT32)
        made.append(_value(POTENTIALS, TensorProto.INT32, ["N", network.output.neurons]))
    return [
        _value("counts", TensorProto.INT64, ["N", network.output.neurons]),
        _value("layer_spikes", TensorProto.INT64, ["N", len(layers)]),
        *made,
    ]


def _type_of_sums(largest: int) -> int:
    """The type that ONNX Runtime adds up fastest, of those that hold this number and all below exactly."""
    if largest < 2**24:
        return TensorProto.FLOAT
    return TensorProto.INT32 if largest < 2**31 else TensorProto.INT64


@dataclass
class _Graph:
    """Nodes and constants so far; every method adds some and returns the name of its result."""

    network: Network
    flavour: Flavour
    prefix: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    typed: dict[tuple[str, int], str] = field(default_factory=dict)

    @property
    def number(self) -> npt.DTypeLike:
        return np.float32 if self.flavour == "float32" else np.int32

    def add(self, kind: str, *inputs: str, to: str = "", dtype: int | None = None, **attributes: Any) -> str:
        name = to or f"{self.prefix}{kind.lower()}.{len(self.nodes)}"
        if dtype is not None:
            attributes["to"] = dtype
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"{kind}:{name}", **attributes))
        return name

    def constant(self, values: npt.NDArray[Any], name: str = "") -> str:
        name = name or f"constant.{values.dtype}.{'x'.join(map(str, values.shape))}.{values.tobytes().hex()}"
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def filled(self, value: int) -> onnx.TensorProto:
        return numpy_helper.from_array(np.full(1, value, dtype=self.number))

    def concat(self, parts: Sequence[str], *, axis: int = 0, to: str = "") -> str:
        return self.add("Concat", *parts, to=to, axis=axis)

    def flat(self, value: str) -> str:
        return self.add("Flatten", value, axis=1)

    def cast(self, value: str, dtype: int) -> str:
        """The value in a type, cast once only."""
        if (value, dtype) not in self.typed:
            self.typed[value, dtype] = self.add("Cast", value, dtype=dtype)
        return self.typed[value, dtype]

    def population(self, population: Population, sent: Mapping[str, str], driven: Mapping[str, str] = {}) -> str:
        """One step of a population, its spikes; what some projections bring may be there before."""
        pooled, incoming = _pooled(self.network, population), self.network.incoming(population.name)
        if pooled is not None:
            source = incoming[0].source
            return self.maximum(population.name, pooled, sent[source], self.network.population(source).shape)
        drives = [driven.get(p.name) or self.drive(p, sent[p.source]) for p in incoming]
        return self.neurons(population, drives, biased=any(p.name in driven for p in incoming))

    def constant_drive(self, projection: Projection, image: str) -> str:
        """What a projection of the image brings at every step, with the bias if that enters at the same place.

        It is the only one from the image to its target: a network has no two projections between the same populations.
        """
        population = self.network.population(projection.target)
        neuron, drive = neuron_of(population), self.drive(projection, image)
        return self.with_bias(drive, population) if neuron.decay_u == DECAY_UNITY else drive

    def maximum(self, name: str, op: Conv2d, sent: str, source: Shape) -> str:
        """The spikes of a max pool, or of a relay, channel by channel: else ONNX Runtime lays all images out anew."""
        options: dict[str, Any] = {"strides": op.stride, "pads": [*op.padding, *op.padding], "dilations": op.dilation}
        floats = self.cast(sent, TensorProto.FLOAT)  # of bytes, ONNX Runtime's maxima take ten times as long
        (channels, *size), (_, *pooled) = source, op.output_shape(source)
        planes = self.add("Reshape", floats, self.integers([-1, 1, *size]))
        highest = self.add("MaxPool", planes, kernel_shape=op.weight.shape[2:], **options)
        fired = self.add("Reshape", highest, self.integers([-1, channels, *pooled]))
        self.typed[fired, TensorProto.FLOAT] = fired
        one = self.constant(np.array(1, dtype=self.number))
        self.add("Sub", one, self.cast(fired, NUMBER[self.flavour]), to=f"{self.prefix}held.{name}")
        return fired

    def drive(self, projection: Projection, sent: str) -> str:
        """What a projection brings, in 1/64 of a weight unit."""
        op, exponent = projection.op, projection.exponent + MEMBRANE_SHIFT
        sent = self.cast(sent, TensorProto.FLOAT if self.flavour == "float32" else TensorProto.UINT8)
        whole = np.float32 if self.flavour == "float32" else np.int8
        weight = op.weight.astype(whole) if self.flavour == "int8" else np.ldexp(op.weight.astype(np.float32), exponent)
        if isinstance(op, Conv2d) and self.flavour == "int8" and op.weight.size * op.groups <= LARGEST_PRODUCT:
            made = self.windows_product(projection, op, sent)
        elif isinstance(op, Conv2d):
            constant = self.constant(weight, f"weight.{projection.name}")
            kind = "Conv" if self.flavour == "float32" else "ConvInteger"
            pads = [*op.padding, *op.padding]
            made = self.add(kind, sent, constant, strides=op.stride, pads=pads, dilations=op.dilation, group=op.groups)
        else:
            constant = self.constant(np.ascontiguousarray(weight.T), f"weight.{projection.name}")
            made = self.add("MatMul" if self.flavour == "float32" else "MatMulInteger", self.flat(sent), constant)
        if self.flavour == "float32":
            return made
        return self.add("Mul", made, self.constant(np.array(2**exponent, dtype=np.int32)))

    def windows_product(self, projection: Projection, op: Conv2d, sent: str) -> str:
        """A convolution as a product of the values under the kernel, `(N, H, W, kernel * C)`, and the weight."""
        c_out, _, *kernel = op.weight.shape
        _, *size = op.output_shape(self.network.population(projection.source).shape)
        image = self.add("Transpose", sent, perm=[0, 2, 3, 1])
        if any(op.padding):
            image = self.add("Pad", image, self.integers([0, *op.padding, 0] * 2))
        windows = []
        for place in np.ndindex(*kernel):
            starts = [d * k for d, k in zip(op.dilation, place, strict=True)]
            ends = [a + s * (n - 1) + 1 for a, s, n in zip(starts, op.stride, size, strict=True)]
            windows.append(self.add("Slice", image, *map(self.integers, (starts, ends, [1, 2], op.stride))))
        weight = _ungrouped(op).astype(np.int8).transpose(2, 3, 1, 0).reshape(-1, c_out)
        constant = self.constant(np.ascontiguousarray(weight), f"weight.{projection.name}")
        made = self.add("MatMulInteger", self.concat(windows, axis=3), constant)
        return self.add("Transpose", made, perm=[0, 3, 1, 2])

    def neurons(self, population: Population, drives: Sequence[str], *, biased: bool) -> str:
        """One step of a population; leaves its state in `v.NAME.next`, and gives its spikes."""
        neuron, name = neuron_of(population), population.name
        total = drives[0]
        for other in drives[1:]:
            total = self.add("Add", total, other)
        if neuron.decay_u != DECAY_UNITY:
            kept = self.decay(f"u.{name}", int(neuron.decay_u))
            total = self.add("Add", kept, total, to=f"u.{name}.next")
            biased = False
        if not biased:
            total = self.with_bias(total, population)
        v = self.add("Add", self.decay(f"v.{name}", int(neuron.decay_v)), total)
        threshold = self.constant(np.array(int(neuron.threshold) << MEMBRANE_SHIFT, dtype=self.number))
        fired = self.add("Greater", v, threshold)
        held = self.add("Cast", self.add("Not", fired), to=f"{self.prefix}held.{name}", dtype=NUMBER[self.flavour])
        self.add("Mul", v, held, to=f"v.{name}.next")  # quicker than Where, in ONNX Runtime
        return fired

    def with_bias(self, drive: str, population: Population) -> str:
        """The drive and the bias."""
        neuron = neuron_of(population)
        if not neuron.bias.any():
            return drive
        bias = (neuron.bias.astype(np.int64) << neuron.bias_exponent).reshape(1, *population.shape)
        return self.add("Add", drive, self.constant(bias.astype(self.number), f"bias.{population.name}"))

    def decay(self, value: str, amount: int) -> str:
        """`sign(x) * (|x| * (4096 - d) >> 12)`, in int64: the product passes what float32 and int32 hold."""
        if amount == 0:
            return value
        x = self.add("Cast", value, dtype=TensorProto.INT64)
        share = self.constant(np.array(DECAY_UNITY - amount, dtype=np.int64))
        unity = self.constant(np.array(DECAY_UNITY, dtype=np.int64))
        kept = self.add("Div", self.add("Mul", self.add("Abs", x), share), unity)
        return self.add("Cast", self.add("Mul", self.add("Sign", x), kept), dtype=NUMBER[self.flavour])


def _pooled(network: Network, population: Population) -> Conv2d | None:
    """The windows of a max pool that ONNX Runtime takes: with no window outside of the image."""
    op = max_pool(network, population)
    inside = op is not None and all(p < k for p, k in zip(op.padding, op.weight.shape[2:], strict=True))
    return op if inside else None


def _ungrouped(op: Conv2d) -> npt.NDArray[Any]:
    """The weight over all channels `(C_out, C_in, *kernel)`, with zeros where groups do not meet."""
    parts = np.split(op.weight, op.groups)
    whole = np.zeros((len(parts), len(parts[0]), len(parts), *op.weight.shape[1:]), dtype=op.weight.dtype)
    for group, part in enumerate(parts):
        whole[group, :, group] = part
    return whole.reshape(len(op.weight), -1, *op.weight.shape[2:])


def _value(name: str, dtype: int, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, list(shape))


def _model(
    network: Network,
    graph: _Graph,
    outputs: Sequence[onnx.ValueInfoProto],
    flavour: Flavour,
    inputs: Sequence[onnx.ValueInfoProto] = (),
) -> onnx.ModelProto:
    image = _value("image", TensorProto.UINT8, ["N", *network.input.shape])
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
