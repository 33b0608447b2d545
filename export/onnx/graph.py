"""An ONNX graph in the making: what a projection and a population compute, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from kdsnn.export.onnx.flavours import Flavour
from kdsnn.network import (
    DECAY_UNITY,
    HIGHEST,
    LOWEST,
    MEMBRANE_SHIFT,
    Conv2d,
    Network,
    Population,
    Projection,
    Shape,
    neuron_of,
)
from kdsnn.network.or_pool import max_pool

__all__ = ["NUMBER", "Graph", "pooled", "value_info"]

LARGEST_PRODUCT = 2**22  # weights of a convolution without groups
NUMBER = {"float32": TensorProto.FLOAT, "int8": TensorProto.INT32}  # what drives and potentials are made of


def value_info(name: str, dtype: int, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """An input or output of a graph."""
    return helper.make_tensor_value_info(name, dtype, list(shape))


@dataclass
class Graph:
    """Nodes and constants so far; every method adds some and returns the name of its result."""

    network: Network
    flavour: Flavour
    prefix: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    typed: dict[tuple[str, int], str] = field(default_factory=dict)

    @property
    def number(self) -> npt.DTypeLike:
        """The type of drives and potentials."""
        return np.float32 if self.flavour == "float32" else np.int32

    def add(self, kind: str, *inputs: str, to: str = "", dtype: int | None = None, **attributes: Any) -> str:
        """A node of that kind; its result is called `to`, or by a name made up."""
        name = to or f"{self.prefix}{kind.lower()}.{len(self.nodes)}"
        if dtype is not None:
            attributes["to"] = dtype
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"{kind}:{name}", **attributes))
        return name

    def constant(self, values: npt.NDArray[Any], name: str = "") -> str:
        """A constant array; one that is there already is taken again."""
        name = name or f"constant.{values.dtype}.{'x'.join(map(str, values.shape))}.{values.tobytes().hex()}"
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def integers(self, values: Sequence[int]) -> str:
        """A constant of int64."""
        return self.constant(np.array(values, dtype=np.int64))

    def filled(self, value: int) -> onnx.TensorProto:
        """A value to fill a state with."""
        return numpy_helper.from_array(np.full(1, value, dtype=self.number))

    def concat(self, parts: Sequence[str], *, axis: int = 0, to: str = "") -> str:
        """The parts beside each other."""
        return self.add("Concat", *parts, to=to, axis=axis)

    def flat(self, value: str) -> str:
        """The value as `(N, neurons)`."""
        return self.add("Flatten", value, axis=1)

    def cast(self, value: str, dtype: int) -> str:
        """The value in a type, cast once only."""
        if (value, dtype) not in self.typed:
            self.typed[value, dtype] = self.add("Cast", value, dtype=dtype)
        return self.typed[value, dtype]

    def population(self, population: Population, sent: Mapping[str, str], driven: Mapping[str, str] = {}) -> str:
        """One step of a population, its spikes; what some projections bring may be there before.

        Args:
            population: not the input.
            sent: what each population sends, by its name; one that feeds itself is there with the step before.
            driven: what a projection brings, by its name, with the bias: see `constant_drive`.
        """
        windows, incoming = pooled(self.network, population), self.network.incoming(population.name)
        if windows is not None:
            source = incoming[0].source
            return self.maximum(population.name, windows, sent[source], self.network.population(source).shape)
        drives = [driven.get(p.name) or self.drive(p, sent[p.source]) for p in incoming]
        return self.neurons(population, drives, biased=any(p.name in driven for p in incoming))

    def messages(self, image: str) -> str:
        """What the input population sends of an image or a frame, uint8."""
        shift = self.constant(np.array(8 - self.network.input_bits, dtype=np.uint8))
        return self.add("BitShift", image, shift, direction="RIGHT")

    def constant_drive(self, projection: Projection, image: str) -> str:
        """What a projection of the image brings at each step, the first one with the bias if that enters there."""
        population = self.network.population(projection.target)
        neuron, drive = neuron_of(population), self.drive(projection, image)
        return self.with_bias(drive, population) if neuron.decay_u == DECAY_UNITY and not projection.part else drive

    def maximum(self, name: str, op: Conv2d, sent: str, source: Shape) -> str:
        """The spikes of a max pool, or of a relay, channel by channel: else ONNX Runtime lays all images out anew."""
        options: dict[str, Any] = {"strides": op.stride, "pads": [*op.padding, *op.padding], "dilations": op.dilation}
        floats = self.cast(sent, TensorProto.FLOAT)  # of bytes, ONNX Runtime's maxima take ten times as long
        (channels, *size), (_, *smaller) = source, op.output_shape(source)
        planes = self.add("Reshape", floats, self.integers([-1, 1, *size]))
        highest = self.add("MaxPool", planes, kernel_shape=op.weight.shape[2:], **options)
        fired = self.add("Reshape", highest, self.integers([-1, channels, *smaller]))
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
        """One step of a population, spikes; leaves its state in `v.NAME.next`, and `u.` and `s.`, if it has them."""
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
        if neuron.clips:
            ends = (self.constant(np.array(end, dtype=self.number)) for end in (LOWEST, HIGHEST))
            v = self.add("Clip", v, *ends)
        threshold = self.constant(np.array(int(neuron.threshold) << MEMBRANE_SHIFT, dtype=self.number))
        fired = self.add("Greater", v, threshold)
        held = self.add("Cast", self.add("Not", fired), to=f"{self.prefix}held.{name}", dtype=NUMBER[self.flavour])
        if neuron.reset_by is None:
            self.add("Mul", v, held, to=f"v.{name}.next")  # quicker than Where, in ONNX Runtime
        else:
            by = self.constant(np.array(int(neuron.reset_by), dtype=self.number))
            taken = self.add("Mul", self.cast(fired, NUMBER[self.flavour]), by)
            self.add("Sub", v, taken, to=f"v.{name}.next")
        if any(p.recurrent for p in self.network.incoming(name)):
            self.add("Identity", self.cast(fired, NUMBER[self.flavour]), to=f"s.{name}.next")
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


def pooled(network: Network, population: Population) -> Conv2d | None:
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
