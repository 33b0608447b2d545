"""The integer network as a NIR file, `model.nir`, and back.

Arrays are float32 that hold integers (biases: multiples of 1/64), so that any simulator that keeps NIR's meaning
computes the same spikes: `IF` with r = 1 and a hard reset to zero, one time step a step. A bias of each neuron, where
a convolution has only one a channel, is a `Scale` of ones beside it. A threshold stands half of the
least step of a potential (1/128) above the integer, where no potential can be: whether a simulator fires at `>` or at
`>=`, which NIR leaves open, makes no difference. What else NIR cannot say stands in
the metadata: time steps, input bits, exponents, what a spike takes (NIR's neurons reset to `v_reset`, 0), whether each
step has a frame of its own, labels and the fingerprint, which is computed anew on reading: a file
that was changed is refused. An output that never fires is an `I`, `LI` or `CubaLI`.

nir's own converters and shape inference are not used (see `nir_graph.py`); `kdsnn.network` checks every shape.
"""

from __future__ import annotations

import json
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError, NetworkError
from kdsnn.export.foreign.numbers import MAX_CELLS, numbers, pair, shape_of
from kdsnn.export.hdf5_guard import opened_hdf5
from kdsnn.export.nir_graph import read_graph
from kdsnn.export.nir_header import SCHEMA, Header, NeuronRecord, ProjectionRecord, header_of, node_name, read_header
from kdsnn.files.reading import reading
from kdsnn.files.writing import write_atomic
from kdsnn.network import (
    DECAY_UNITY,
    MEMBRANE_SHIFT,
    NEVER,
    Conv2d,
    Dense,
    Input,
    Network,
    Neuron,
    Population,
    Projection,
    Shape,
    neuron_of,
)

__all__ = ["SCHEMA", "is_ours", "read_nir", "to_nir", "write_nir"]

OUTPUT = "output"
TIE_BREAK = 2.0 ** -(MEMBRANE_SHIFT + 1)  # with 17 bits of threshold, 24 bits: float32 holds them all
NO_LEAK = 2.0**24  # time steps: a time constant that stands for none
FLATTEN = "_flatten"  # suffix of the node between an image-shaped population and a dense projection
ONES, BIAS = "_ones", "_bias"  # suffixes of the nodes that carry a bias of each neuron beside a convolution
FloatArray = npt.NDArray[np.float32]
AT_ONCE = 2**20  # values
NEURONS = (nir.IF, nir.LIF, nir.CubaLIF, nir.I, nir.LI, nir.CubaLI)


def write_nir(network: Network, path: Path) -> None:
    """Makes the file in memory, reads it back, compares fingerprints, and only then writes it.

    Raises:
        NetworkError: NIR cannot express the network, or it was not the same when read back.
        InputError: the file cannot be written.
    """
    file = BytesIO()  # HDF5 would end the process where a disk is full
    nir.write(file, to_nir(network))
    if read_nir(path, held=file.getvalue()).fingerprint() != network.fingerprint():
        raise NetworkError(f"network {network.name!r} came back changed from its own NIR file")
    write_atomic(path, file.getvalue())


def is_ours(path: Path) -> bool:
    """Whether a NIR file says that kdsnn wrote it; raises InputError where it is unsafe, or not HDF5."""
    with opened_hdf5(path) as file, reading(path):
        return "node/metadata/kdsnn" in file


def read_nir(path: Path, *, held: bytes | None = None) -> Network:
    """The integer network of a NIR file that kdsnn wrote.

    Args:
        path: of the file.
        held: its contents, where they are in memory.

    Raises:
        InputError: not HDF5, unsafe, not written by kdsnn, or changed since.
    """
    graph = read_graph(path, held=held)
    try:
        if "kdsnn" not in graph.metadata:
            raise InputError("it has no header")
        header = read_header(_text(graph.metadata["kdsnn"]))
        network = _from_nir(graph, header)
    except InputError as error:
        raise InputError(
            f"{path} is not an integer network that kdsnn wrote: {error.message}",
            hint="write one with: kdsnn quantize",
            problems=error.problems,
        ) from error
    if network.fingerprint() != header.fingerprint:
        raise InputError(f"{path} was changed since it was written: its fingerprint does not match")
    return network


def to_nir(network: Network) -> nir.NIRGraph:
    """The NIR graph of an integer network."""
    if not network.integer:
        raise NetworkError("only integer networks are written as NIR", hint="run kdsnn quantize first")
    nodes: dict[str, Any] = {network.input.name: nir.Input(np.array(network.input.shape))}
    edges: list[tuple[str, str]] = []
    for population in network.spiking:
        nodes[population.name] = _neuron_node(population)
        bias = neuron_of(population).bias.astype(np.int64) << neuron_of(population).bias_exponent
        for projection in network.incoming(population.name):
            source = network.population(projection.source)
            name, upstream = _node_name(projection), projection.source
            if isinstance(projection.op, Conv2d) and _differs_within_a_channel(bias, population.shape):
                added, links = _bias_nodes(projection, source.shape, population, bias)
                nodes |= added
                edges += links
                bias = np.zeros_like(bias)
            nodes[name] = _projection_node(projection, source.shape, population, bias)
            if isinstance(projection.op, Dense) and len(source.shape) > 1:
                upstream = projection.source + FLATTEN
                nodes[upstream] = nir.Flatten({"input": np.array(source.shape)}, start_dim=0, end_dim=-1)
                edges += [(projection.source, upstream)]
            edges += [(upstream, name), (name, population.name)]
            bias = np.zeros_like(bias)  # the first projection carries it
    nodes[OUTPUT] = nir.Output(np.array(network.output.shape))
    edges.append((network.output.name, OUTPUT))
    return nir.NIRGraph(
        nodes, list(dict.fromkeys(edges)), metadata={"kdsnn": json.dumps(header_of(network))}, type_check=False
    )


def _node_name(projection: Projection) -> str:
    return node_name(projection.source, projection.target, projection.part)


def _neuron_node(population: Population) -> Any:
    """`IF` exactly; a leak in units of time steps, without the hardware's rounding of it, which NIR cannot say.

    `I`, `LI` or `CubaLI` for neurons that never fire.
    """
    neuron = neuron_of(population)
    ones = np.ones(population.shape, dtype=np.float32)
    zeros, firing = np.zeros_like(ones), {}
    if neuron.fires:
        firing = {"v_threshold": ones * np.float32(neuron.threshold + TIE_BREAK), "v_reset": zeros}
    if neuron.decay_u == DECAY_UNITY and neuron.decay_v == 0:
        return nir.IF(r=ones, **firing) if neuron.fires else nir.I(r=ones)
    tau_mem = ones * (DECAY_UNITY / neuron.decay_v if neuron.decay_v else NO_LEAK)
    leaky = {"r": tau_mem, "v_leak": zeros, **firing}
    if neuron.decay_u == DECAY_UNITY:
        return nir.LIF(tau=tau_mem, **leaky) if neuron.fires else nir.LI(tau=tau_mem, **leaky)
    tau_syn = ones * (DECAY_UNITY / neuron.decay_u)
    kind = nir.CubaLIF if neuron.fires else nir.CubaLI
    return kind(tau_syn=tau_syn, tau_mem=tau_mem, w_in=tau_syn, **leaky)


def _projection_node(
    projection: Projection, source: Shape, target: Population, bias: npt.NDArray[np.int64]
) -> nir.Conv2d | nir.Affine | nir.SumPool2d:
    op = projection.op
    if _sums_windows(projection) and isinstance(op, Conv2d) and not bias.any():
        return nir.SumPool2d(*(np.array(x) for x in (op.weight.shape[2:], op.stride, op.padding)))
    weight = np.ldexp(op.weight.astype(np.float32), projection.exponent)
    in_weight_units = (bias / 2**MEMBRANE_SHIFT).astype(np.float32)
    if isinstance(op, Dense):
        return nir.Affine(weight, in_weight_units)
    return _conv_node(op, source, weight, in_weight_units.reshape(target.shape[0], -1)[:, 0].copy())


def _conv_node(op: Conv2d, source: Shape, weight: FloatArray, bias: FloatArray) -> nir.Conv2d:
    return nir.Conv2d(
        input_shape=source[1:],
        weight=weight,
        stride=op.stride,
        padding=op.padding,
        dilation=op.dilation,
        groups=op.groups,
        bias=bias,
    )


def _differs_within_a_channel(bias: npt.NDArray[np.int64], shape: Shape) -> bool:
    by_channel = bias.reshape(shape[0], -1)
    return bool((by_channel != by_channel[:, :1]).any())


def _bias_nodes(
    projection: Projection, source: Shape, target: Population, bias: npt.NDArray[np.int64]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """A bias that differs within a channel, which NIR's Conv2d cannot say: a Scale of ones beside it."""
    op, name = projection.op, _node_name(projection)
    assert isinstance(op, Conv2d)  # noqa: S101  callers pass convolutions
    ones = _conv_node(op, source, np.zeros(op.weight.shape, np.float32), np.ones(target.shape[0], np.float32))
    scale = nir.Scale((bias / 2**MEMBRANE_SHIFT).astype(np.float32).reshape(target.shape))
    edges = [(projection.source, name + ONES), (name + ONES, name + BIAS), (name + BIAS, target.name)]
    return {name + ONES: ones, name + BIAS: scale}, edges


def _sums_windows(projection: Projection) -> bool:
    """Whether a convolution is a SumPool2d, which plain `nir.read` can type-check, as it cannot a grouped one."""
    op = projection.op
    if not isinstance(op, Conv2d) or projection.exponent or op.dilation != (1, 1):
        return False
    return op.groups == op.weight.shape[0] and op.weight.shape[1] == 1 and bool((op.weight == 1).all())


def _from_nir(graph: nir.NIRGraph, header: Header) -> Network:
    inputs = [(name, node) for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(inputs) != 1:
        raise InputError(f"it has {len(inputs)} inputs")
    name, node = inputs[0]
    populations = [Population(name, shape_of(node) or (), Input(header.input_bits, static=header.static))]
    shapes = {record.name: _neurons(graph, record.name).r.shape for record in header.populations}
    shapes[name] = populations[0].shape
    if absent := {name for each in header.projections for name in (each.source, each.target)} - shapes.keys():
        raise InputError(f"its header names populations that it has not: {', '.join(sorted(absent))[:200]}")
    projections = [
        Projection(each.source, each.target, _operation(graph, each, shapes[each.source]), each.exponent, each.part)
        for each in header.projections
    ]
    into: dict[str, list[Projection]] = {}
    for projection in projections:
        into.setdefault(projection.target, []).append(projection)
    populations += [_population(graph, record, into.get(record.name, [])) for record in header.populations]
    return Network(
        name=header.name,
        populations=tuple(populations),
        projections=tuple(projections),
        timesteps=header.timesteps,
        labels=header.labels,
        integer=True,
        provenance=dict(header.provenance),
    )


def _node(graph: nir.NIRGraph, name: str) -> Any:
    if name not in graph.nodes:
        raise InputError(f"it has no node {name[:100]!r}, which its header names")
    return graph.nodes[name]


def _neurons(graph: nir.NIRGraph, name: str) -> Any:
    node = _node(graph, name)
    if not isinstance(node, NEURONS) or np.any(numbers(getattr(node, "v_reset", 0), "v_reset")):
        raise InputError(
            f"node {name[:100]!r} is not an IF, LIF or CubaLIF with a reset to zero, nor an I, LI or CubaLI"
        )
    return node


def _operation(graph: nir.NIRGraph, record: ProjectionRecord, source: Shape) -> Conv2d | Dense:
    node = _node(graph, record.node)
    if isinstance(node, nir.SumPool2d):
        kernel = pair(node.kernel_size, "kernel_size", 1)
        if len(source) != 3 or source[0] * prod(kernel) > MAX_CELLS:
            raise InputError(f"node {record.node[:100]!r} sums windows of {kernel} of {source}")
        ones = np.ones((source[0], 1, *kernel), dtype=np.int16)
        return Conv2d(ones, pair(node.stride, "stride", 1), pair(node.padding, "padding", 0), groups=source[0])
    if not isinstance(node, nir.Conv2d | nir.Affine | nir.Linear):
        raise InputError(f"node {record.node[:100]!r} is no linear map")
    weight = _integers(node.weight, np.int16, 2.0**-record.exponent)
    if not isinstance(node, nir.Conv2d):
        return Dense(weight)
    stride, dilation = pair(node.stride, "stride", 1), pair(node.dilation, "dilation", 1)
    return Conv2d(weight, stride, pair(node.padding, "padding", 0), dilation, pair(node.groups, "groups", 1)[0])


def _population(graph: nir.NIRGraph, record: NeuronRecord, projections: list[Projection]) -> Population:
    node = _neurons(graph, record.name)
    fires = hasattr(node, "v_threshold")
    thresholds = np.unique(numbers(node.v_threshold, "v_threshold")) - TIE_BREAK if fires else np.array([NEVER])
    if len(thresholds) != 1:
        raise InputError(f"node {record.name!r} has several thresholds")
    shape = tuple(node.r.shape)
    bias = np.zeros(shape)
    for projection in projections:
        part = numbers(getattr(graph.nodes[_node_name(projection)], "bias", np.zeros(1)), "bias")
        beside = graph.nodes.get(_node_name(projection) + BIAS)
        parts = [part.reshape(-1, 1, 1) if len(shape) == 3 else part]
        parts += [] if beside is None else [numbers(getattr(beside, "scale", None), "scale")]
        for each in parts:
            if np.broadcast_shapes(each.shape, shape) != shape:
                raise InputError(f"node {record.name!r} has shape {shape}, and a bias {each.shape}")
            bias += each
    mantissa = _integers(bias.reshape(-1), np.int32, 2.0 ** (MEMBRANE_SHIFT - record.bias_exponent))
    neuron = Neuron(
        int(_integers(thresholds, np.int64)[0]),
        mantissa,
        record.bias_exponent,
        record.decay_u,
        record.decay_v,
        fires=fires,
        clips=record.clips,
        reset_by=record.reset_by,
    )
    return Population(record.name, shape, neuron, relay=record.relay)


def _integers(values: Any, dtype: Any, scale: float = 1.0) -> npt.NDArray[Any]:
    """Values times a power of two, as whole numbers of a type; large arrays are of one byte a value on the way."""
    found = np.asarray(values)
    if found.dtype.kind not in "fiu":
        raise InputError(f"it holds {found.dtype}, not numbers")
    info, made = np.iinfo(dtype), np.empty(found.shape, dtype)
    flat, target = found.reshape(-1), made.reshape(-1)
    for begin in range(0, flat.size, AT_ONCE):
        whole = flat[begin : begin + AT_ONCE].astype(np.float64) * scale
        if not np.isfinite(whole).all() or (whole != np.rint(whole)).any():
            raise InputError("it holds values that are not whole numbers")
        if whole.min() < info.min or whole.max() > info.max:
            raise InputError("it holds values beyond the hardware's range")
        target[begin : begin + AT_ONCE] = whole
    return made


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
