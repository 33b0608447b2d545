"""The reference beside what it was: the same sums in int64, which numpy multiplies without BLAS. One network, in turn.

    uv run python benchmarks/reference_speed.py [--student 2conv] [--repeats 5] [--threads 1] [--quick]

The paper's 2conv and VGG11 with random weights that keep every layer awake, quantized, T = 4. The reference also counts
each spike and synaptic operation; its former self here only simulates. Every spike of every population is compared. A
ratio is the former's time over the reference's in the same round. `--threads` are those of BLAS.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt
from peer_models import SHAPES
from peers import LABELS, TIMESTEPS, make_student, measured
from threadpoolctl import threadpool_limits

from kdsnn.export.lowering.lower import lower
from kdsnn.export.lowering.relays import balance
from kdsnn.export.quantization.quantize import quantize
from kdsnn.network import Conv2d, Network, Projection, neuron_of
from kdsnn.targets.reference import ReferenceTarget

IMAGES = {"2conv": 32, "vgg11": 8}  # a batch of the reference, or what its former self does in seconds
Int64Array = npt.NDArray[np.int64]
Spikes = dict[str, npt.NDArray[np.bool_]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", choices=IMAGES, help="left out: both")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of BLAS")
    parser.add_argument("--quick", action="store_true", help="narrow students and few repeats: to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.repeats = 3
    with threadpool_limits(options.threads, user_api="blas"):
        for name in [options.student] if options.student else IMAGES:
            size = (4 if options.quick else IMAGES[name], *SHAPES[name])
            images = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
            compare(made(name, images, width=0.125 if options.quick else 1.0), images, options.repeats)


def made(name: str, images: npt.NDArray[np.uint8], *, width: float) -> Network:
    """The integer network of a student with random weights."""
    student = make_student(name, width=width).eval()
    network = lower(student.layers, input_shape=SHAPES[name], timesteps=TIMESTEPS, labels=LABELS, name=name)
    return quantize(balance(network), calibration=images)[0]


def compare(network: Network, images: npt.NDArray[np.uint8], repeats: int) -> None:
    """Checks that both emit the same spikes, then measures them."""
    program, former = ReferenceTarget().compile(network), former_spikes(network, images)
    result = program.run(images, record="all")
    for name, spikes in former.items():
        if not np.array_equal(result.spikes[name], spikes):
            raise SystemExit(f"{network.name}: the spikes of {name} differ")
    share = [f"{spikes.mean():.0%}" for spikes in former.values()]
    print(f"\n{network.name}: every spike is equal; shares of neurons that fire at a step: {', '.join(share)}")
    runs = {"reference": lambda: program.run(images, record="all"), "int64": lambda: former_spikes(network, images)}
    measured(runs, repeats, f"{network.name}, {len(images)} images")


def former_spikes(network: Network, images: npt.NDArray[np.uint8]) -> Spikes:
    """The spikes of every population but the input, `(N, T, *shape)`: whole numbers from the first to the last."""
    n, steps = len(images), network.timesteps
    messages = (images >> np.uint8(8 - network.input_bits)).astype(np.int64)
    u = {p.name: np.zeros((n, *p.shape), dtype=np.int64) for p in network.spiking}
    v = {p.name: np.zeros((n, *p.shape), dtype=np.int64) for p in network.spiking}
    spikes: Spikes = {p.name: np.zeros((n, steps, *p.shape), dtype=np.bool_) for p in network.spiking}
    for t in range(steps):
        sent = {network.input.name: messages}
        for population in network.spiking:
            name, neuron = population.name, neuron_of(population)
            bias = neuron.bias.astype(np.int64).reshape(population.shape) << neuron.bias_exponent
            a = sum(int64_sums(p, sent[p.source]) << p.exponent for p in network.incoming(name))
            u[name] = decayed(u[name], int(neuron.decay_u)) + (a << 6)
            v[name] = decayed(v[name], int(neuron.decay_v)) + u[name] + bias
            fired = v[name] > int(neuron.threshold) << 6
            v[name][fired] = 0
            spikes[name][:, t] = fired
            sent[name] = fired.astype(np.int64)
    return spikes


def int64_sums(projection: Projection, messages: Int64Array) -> Int64Array:
    """The sum of weight times message for every target neuron, by numpy's own loops."""
    op = projection.op
    weight = op.weight.astype(np.int64)
    if not isinstance(op, Conv2d):
        dense: Int64Array = messages.reshape(len(messages), -1) @ weight.T
        return dense
    batch, (c_out, height, width) = len(messages), op.output_shape(messages.shape[1:])
    padded = np.pad(messages, ((0, 0), (0, 0), *((p, p) for p in op.padding)))
    extent = [d * (k - 1) + 1 for d, k in zip(op.dilation, weight.shape[2:], strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    windows = windows[:, :, :: op.stride[0], :: op.stride[1], :: op.dilation[0], :: op.dilation[1]]
    windows = windows.reshape(batch, op.groups, -1, *windows.shape[2:])
    grouped = weight.reshape(op.groups, c_out // op.groups, *weight.shape[1:])
    sums = [np.tensordot(windows[:, g], grouped[g], axes=((1, 4, 5), (1, 2, 3))) for g in range(op.groups)]
    return np.moveaxis(np.stack(sums, axis=1), 4, 2).reshape(batch, c_out, height, width)


def decayed(x: Int64Array, amount: int) -> Int64Array:
    """`x` less `amount` 4096ths of it, rounded towards zero."""
    left: Int64Array = np.sign(x) * (np.abs(x) * (4096 - amount) >> 12)
    return left


if __name__ == "__main__":
    main()
