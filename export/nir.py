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
import os
import tempfile
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError, NetworkError
from kdsnn.export.hdf5_guard import check_hdf5
from kdsnn.export.nir_graph import read_graph
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

SCHEMA = "kdsnn.nir/1"
OUTPUT = "output"
TIE_BREAK = 2.0 ** -(MEMBRANE_SHIFT + 1)  # with 17 bits of threshold, 24 bits: float32 holds them all
NO_LEAK = 2.0**24  # time steps: a time constant that stands for none
FLATTEN = "_flatten"  # suffix of the node between an image-shaped population and a dense projection
ONES, BIAS = "_ones", "_bias"  # suffixes of the nodes that carry a bias of each neuron beside a convolution
FloatArray = npt.NDArray[np.float32]
NEURONS = (nir.IF, nir.LIF, nir.CubaLIF, nir.I, nir.LI, nir.CubaLI)


def write_nir(network: Network, path: Path) -> None:
    """Writes the network beside its place, reads it back, compares fingerprints, and only then puts it in place.

    Raises:
        NetworkError: NIR cannot express the network, or it was not the same when read back.
    """
    graph = to_nir(network)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    beside = Path(name)
    try:
        nir.write(beside, graph)
        if read_nir(beside).fingerprint() != network.fingerprint():
            raise NetworkError(f"network {network.name!r} came back changed from its own NIR file")
        beside.chmod(0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def is_ours(path: Path) -> bool:
    """Whether a NIR file says that kdsnn wrote it; raises InputError where it is unsafe, or not HDF5."""
    check_hdf5(path)
    with h5py.File(path, "r") as file:
        return "node/metadata/kdsnn" in file


def read_nir(path: Path) -> Network:
    """The integer network of a NIR file that kdsnn wrote.

    Raises:
        InputError: not HDF5, unsafe, not written by kdsnn, or changed since.
    """
    graph = read_graph(path)
    try:
        header = json.loads(_text(graph.metadata["kdsnn"]))
        network = _from_nir(graph, header)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is not an integer network that kdsnn wrote: {type(error).__name__}: {error}",
            hint="write one with: kdsnn quantize",
        ) from error
    if network.fingerprint() != header["fingerprint"]:
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
        nodes, list(dict.fromkeys(edges)), metadata={"kdsnn": json.dumps(_header(network))}, type_check=False
    )


def _node_name(projection: Projection) -> str:
    return _node_name_of(projection.source, projection.target, projection.part)


def _node_name_of(source: str, target: str, part: int) -> str:
    return f"{source}_to_{target}" + (f"_part_{part}" if part else "")


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


def _header(network: Network) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": network.name,
        "timesteps": network.timesteps,
        "input_bits": network.input_bits,
        "static": network.static,
        "labels": network.labels,
        "populations": [_record(p) for p in network.spiking],
        "projections": [
            {"source": p.source, "target": p.target, "exponent": p.exponent} | ({"part": p.part} if p.part else {})
            for p in network.projections
        ],
        "provenance": dict(network.provenance),
        "fingerprint": network.fingerprint(),
    }


def _record(population: Population) -> dict[str, Any]:
    """What NIR cannot say of a population."""
    neuron = neuron_of(population)
    return {
        "name": population.name,
        "bias_exponent": neuron.bias_exponent,
        "decay_u": int(neuron.decay_u),
        "decay_v": int(neuron.decay_v),
        "relay": population.relay,
        "clips": neuron.clips,
        "reset_by": None if neuron.reset_by is None else int(neuron.reset_by),
    }


def _from_nir(graph: nir.NIRGraph, header: dict[str, Any]) -> Network:
    if header["schema"] != SCHEMA:
        raise ValueError(f"its schema is {header['schema']!r}, and this version reads {SCHEMA!r}")
    inputs = [(name, node) for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(inputs) != 1:
        raise ValueError(f"it has {len(inputs)} inputs")
    name, node = inputs[0]
    entering = Input(int(header["input_bits"]), static=bool(header.get("static", True)))
    populations = [Population(name, _shape(node.input_type["input"]), entering)]
    shapes = {p["name"]: _shape(graph.nodes[p["name"]].r.shape) for p in header["populations"]}
    shapes[name] = populations[0].shape
    projections = [
        Projection(
            p["source"],
            p["target"],
            _operation(graph, p, shapes[p["source"]]),
            int(p["exponent"]),
            int(p.get("part", 0)),
        )
        for p in header["projections"]
    ]
    for record in header["populations"]:
        populations.append(_population(graph, record, projections))
    return Network(
        name=str(header["name"]),
        populations=tuple(populations),
        projections=tuple(projections),
        timesteps=int(header["timesteps"]),
        labels=tuple(map(str, header["labels"])),
        integer=True,
        provenance={str(k): str(v) for k, v in header["provenance"].items()},
    )


def _operation(graph: nir.NIRGraph, record: dict[str, Any], source: Shape) -> Conv2d | Dense:
    node = graph.nodes[_node_name_of(record["source"], record["target"], int(record.get("part", 0)))]
    if isinstance(node, nir.SumPool2d):
        ones = np.ones((source[0], 1, *_pair(node.kernel_size)), dtype=np.int16)
        return Conv2d(ones, _pair(node.stride), _pair(node.padding), groups=source[0])
    weight = _integers(np.ldexp(node.weight, -int(record["exponent"])), np.int16)
    if isinstance(node, nir.Conv2d):
        stride, padding, dilation = (_pair(x) for x in (node.stride, node.padding, node.dilation))
        return Conv2d(weight, stride, padding, dilation, int(node.groups))
    return Dense(weight)


def _population(graph: nir.NIRGraph, record: dict[str, Any], projections: list[Projection]) -> Population:
    name, bias_exponent = record["name"], int(record["bias_exponent"])
    node = graph.nodes[name]
    if not isinstance(node, NEURONS) or np.any(getattr(node, "v_reset", 0)):
        raise ValueError(f"node {name!r} is not an IF, LIF or CubaLIF with a reset to zero, nor an I, LI or CubaLI")
    fires = hasattr(node, "v_threshold")
    thresholds = np.unique(node.v_threshold) - TIE_BREAK if fires else np.array([NEVER])
    if len(thresholds) != 1:
        raise ValueError(f"node {name!r} has several thresholds")
    shape = _shape(node.r.shape)
    bias = np.zeros(shape)
    for projection in projections:
        if projection.target == name:
            part = getattr(graph.nodes[_node_name(projection)], "bias", np.zeros(1))
            bias = bias + (part.reshape(-1, 1, 1) if len(shape) == 3 else part)
            beside = graph.nodes.get(_node_name(projection) + BIAS)
            bias = bias if beside is None else bias + beside.scale
    mantissa = _integers(np.ldexp(bias.reshape(-1), MEMBRANE_SHIFT - bias_exponent), np.int32)
    threshold, decays = int(_integers(thresholds, np.int64)[0]), (int(record["decay_u"]), int(record["decay_v"]))
    clips, taken = bool(record.get("clips", False)), record.get("reset_by")  # older files have neither
    reset_by = None if taken is None else int(taken)
    neuron = Neuron(threshold, mantissa, bias_exponent, *decays, fires=fires, clips=clips, reset_by=reset_by)
    return Population(name, shape, neuron, relay=bool(record["relay"]))


def _integers(values: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    whole = np.asarray(values, dtype=np.float64)
    info = np.iinfo(dtype)
    if not np.isfinite(whole).all() or (whole != np.round(whole)).any():
        raise ValueError("it holds values that are not whole numbers")
    if whole.min(initial=0) < info.min or whole.max(initial=0) > info.max:
        raise ValueError("it holds values beyond the hardware's range")
    return whole.astype(dtype)


def _pair(value: Any) -> tuple[int, int]:
    first, second = np.broadcast_to(np.asarray(value), (2,))
    return int(first), int(second)


def _shape(value: Any) -> Shape:
    return tuple(int(n) for n in np.atleast_1d(value))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
