"""What networks compute, by plain enumeration of synapses: oracles for tests, which import nothing of kdsnn.

They read the fields of a network and its operators (weight, stride, padding, ...) and follow the equations as they are
published: Lava's fixed-point LIF for integers, and the same without shifts for floats.
"""

from itertools import product
from typing import Any

import numpy as np
import scipy.sparse

UNITY = 4096  # of a decay
SHIFT = 6  # of potentials, to a weight unit


def synapses(op: Any, source: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Target neuron, source neuron and weight of every synapse of a linear map, those of weight zero too."""
    weight = np.asarray(op.weight)
    if weight.ndim == 2:
        targets, sources = np.indices(weight.shape)
        return targets.reshape(-1), sources.reshape(-1), weight.reshape(-1)
    c_out, c_in, kernel_h, kernel_w = weight.shape
    _, height, width = source
    out = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip((height, width), op.padding, op.dilation, (kernel_h, kernel_w), op.stride, strict=True)
    ]
    found: list[tuple[int, int, Any]] = []
    for co, ci, (ky, kx) in product(range(c_out), range(c_in), product(range(kernel_h), range(kernel_w))):
        channel = co // (c_out // op.groups) * c_in + ci
        for oy in range(out[0]):
            y = oy * op.stride[0] - op.padding[0] + ky * op.dilation[0]
            if not 0 <= y < height:
                continue
            for ox in range(out[1]):
                x = ox * op.stride[1] - op.padding[1] + kx * op.dilation[1]
                if 0 <= x < width:
                    found.append(
                        ((co * out[0] + oy) * out[1] + ox, (channel * height + y) * width + x, weight[co, ci, ky, kx])
                    )
    targets, sources, weights = zip(*found, strict=True) if found else ((), (), ())
    return np.array(targets, dtype=np.int64), np.array(sources, dtype=np.int64), np.array(weights, dtype=weight.dtype)


def matrix(op: Any, source: tuple[int, ...], targets: int) -> scipy.sparse.csr_matrix:
    """A linear map as a sparse matrix `(targets, sources)`, of int64 or float64."""
    rows, columns, weights = synapses(op, source)
    dtype = np.int64 if np.issubdtype(weights.dtype, np.integer) else np.float64
    shape = (targets, int(np.prod(source)))
    return scipy.sparse.csr_matrix((weights.astype(dtype), (rows, columns)), shape=shape)


def fan_out(op: Any, source: tuple[int, ...], *, zero_weights: bool = True) -> np.ndarray:
    """How many synapses leave each source neuron, in the source's shape."""
    _, sources, weights = synapses(op, source)
    counted = sources if zero_weights else sources[weights != 0]
    return np.bincount(counted, minlength=int(np.prod(source))).reshape(source)


def simulate_integer(network: Any, images: np.ndarray, watch: Any = None) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Spikes `(N, T, *shape)` of every population, and the last potential of the output, `(N, *shape)`.

    `watch(name, u, v)` is called with each population's state after each step's sums, before the reset.
    """
    first, *spiking = network.populations
    maps = [
        (p.source, p.target, matrix(p.op, _shape(network, p.source), _neurons(network, p.target)) * 2**p.exponent)
        for p in network.projections
    ]
    n = len(images)
    u = {p.name: np.zeros((n, _size(p.shape)), np.int64) for p in spiking}
    v = {p.name: np.zeros((n, _size(p.shape)), np.int64) for p in spiking}
    trains = {p.name: np.zeros((n, network.timesteps, _size(p.shape)), np.uint8) for p in spiking}
    frames = _frames(network, images >> (8 - first.model.bits)).astype(np.int64)
    echo = {p.name: np.zeros((n, _size(p.shape)), np.int64) for p in spiking}
    for step in range(network.timesteps):
        sent = {first.name: frames[:, step], **echo}  # a population hears itself a step later
        for p in spiking:
            a = sum((m @ sent[source].T).T for source, target, m in maps if target == p.name)
            u[p.name] = _left(u[p.name], p.model.decay_u) + a * 2**SHIFT
            v[p.name] = (
                _left(v[p.name], p.model.decay_v)
                + u[p.name]
                + p.model.bias.astype(np.int64) * (2**p.model.bias_exponent)
            )
            if watch is not None:
                watch(p.name, u[p.name], v[p.name])
            if p.model.clips:
                v[p.name] = np.minimum(np.maximum(v[p.name], 1 - 2**23), 2**23 - 1)
            fired = v[p.name] > int(p.model.threshold) * 2**SHIFT
            v[p.name][fired] = 0 if p.model.reset_by is None else v[p.name][fired] - p.model.reset_by
            trains[p.name][:, step] = fired
            sent[p.name] = echo[p.name] = fired.astype(np.int64)
    shaped = {p.name: trains[p.name].reshape(n, network.timesteps, *p.shape) for p in spiking}
    return shaped, v[spiking[-1].name].reshape(n, *spiking[-1].shape)


def simulate_float(network: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """Spikes `(N, T, *shape)` of every population; of one that never fires, its potential at every step."""
    first, *spiking = network.populations
    maps = [
        (p.source, p.target, matrix(p.op, _shape(network, p.source), _neurons(network, p.target)))
        for p in network.projections
    ]
    n = len(images)
    u = {p.name: np.zeros((n, _size(p.shape))) for p in spiking}
    v = {p.name: np.zeros((n, _size(p.shape))) for p in spiking}
    out = {
        p.name: np.zeros((n, network.timesteps, _size(p.shape)), np.uint8 if p.model.fires else np.float64)
        for p in spiking
    }
    frames, echo = _frames(network, images), {p.name: np.zeros((n, _size(p.shape))) for p in spiking}
    for step in range(network.timesteps):
        sent = {first.name: frames[:, step].astype(np.float64), **echo}
        for p in spiking:
            drive = sum((m @ sent[source].T).T for source, target, m in maps if target == p.name)
            u[p.name] = (1 - p.model.decay_u) * u[p.name] + drive
            v[p.name] = (1 - p.model.decay_v) * v[p.name] + u[p.name] + p.model.bias
            fired = v[p.name] > p.model.threshold
            v[p.name] = np.where(fired, 0.0 if p.model.reset_by is None else v[p.name] - p.model.reset_by, v[p.name])
            out[p.name][:, step] = fired if p.model.fires else v[p.name]
            sent[p.name] = echo[p.name] = fired.astype(np.float64)
    return {p.name: out[p.name].reshape(n, network.timesteps, *p.shape) for p in spiking}


def carried(network: Any, projection: Any, images: np.ndarray, trains: Any) -> np.ndarray:
    """How many messages each source neuron sends over a projection in all images, in the source's shape.

    What a population sends to itself in an image's last step does not arrive.
    """
    first, shape = network.populations[0], _shape(network, projection.source)
    if projection.source == first.name:
        sent = _frames(network, images >> (8 - first.model.bits)) > 0
    else:
        sent = trains[projection.source]
    if projection.source == projection.target:
        sent = sent[:, :-1]
    return sent.sum(axis=(0, 1), dtype=np.int64).reshape(shape)


def messages(op: Any, source: tuple[int, ...], sent: np.ndarray, cores: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Messages over a projection, and their hops east or west and north or south, on a chip of Loihi's mesh.

    A source neuron sends each of its messages once to every core that holds one of its targets. Four cores make a tile,
    four tiles a column, and columns lie side by side.

    Args:
        op: the synapses.
        source: shape of the source population.
        sent: how many messages each source neuron sends, flat.
        cores: number of the core of each source neuron, and of each target neuron, flat.
    """
    targets, sources, _ = synapses(op, source)
    found = np.zeros(3)
    for neuron, core in sorted({(int(s), int(c)) for s, c in zip(sources, cores[1][targets], strict=True)}):
        (from_x, from_y), (to_x, to_y) = (divmod(int(c) // 4, 4) for c in (cores[0][neuron], core))
        found += sent[neuron] * np.array([1, abs(from_x - to_x), abs(from_y - to_y)])
    return found


def _left(x: np.ndarray, amount: float) -> np.ndarray:
    """What a decay leaves: cut towards zero."""
    return np.sign(x) * (np.abs(x) * (UNITY - int(amount)) // UNITY)


def _frames(network: Any, images: np.ndarray) -> np.ndarray:
    """What is shown at each step, `(N, T, neurons)`."""
    first = network.populations[0]
    each = images.reshape(len(images), -1, _size(first.shape))
    return np.repeat(each, network.timesteps, axis=1) if first.model.static else each


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _shape(network: Any, name: str) -> tuple[int, ...]:
    return next(p.shape for p in network.populations if p.name == name)


def _neurons(network: Any, name: str) -> int:
    return _size(_shape(network, name))
