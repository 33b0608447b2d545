"""Compares our process models with the stock ones of lava-nc on random shapes. Runs under Lava's own interpreter.

Usage: python arithmetic_check.py WORKER_FOLDER SCRATCH_FOLDER CASES. Prints the number of cases compared, and how
many of them took each way through our arithmetic.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, sys.argv[1])

from lanes import Lanes
from lava.proc.conv import utils
from lava.proc.conv.models import PyConvModelFixed
from lava.proc.dense.models import PyDenseModelBitAcc
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.utils.weightutils import SignMode
from neurons import FastLif
from recording import Count
from synapses import FastConv, FastDense, StockConv, StockDense

scratch = Path(sys.argv[2])
ways = Counter()


class Port:
    """Stands in for all ports of a model."""

    def __init__(self, messages=()):
        self.messages, self.sent, self.shape = list(messages), [], None

    def recv(self):
        return self.messages.pop(0).copy()

    def send(self, data):
        self.sent.append(np.array(data))


def outputs(cls, params, variables, messages, *, channels, lanes=1, images=1):
    """What a synapse sends, one step late, and the events it counted if it counts."""
    events = scratch / "events.npy"
    np.save(events, np.zeros((len(messages), 4), np.int64))
    bits = variables["num_message_bits"].item()
    schedule = Lanes(lanes, images, len(messages))
    count = Count(0, channels, schedule, bits > 0, 2 ** max(bits, 1) - 1, False, str(events), None)
    model = cls({**params, "count": count})
    for name, value in variables.items():
        setattr(model, name, np.array(value))
    model.s_in, model.a_out = Port([*messages, np.zeros_like(messages[0])]), Port()
    for step in range(len(messages) + 1):
        model.time_step = step + 1
        model.run_spk()
    ways.update(type(part).__name__ for part in map(vars(model).get, ("convolution", "matrix")) if part is not None)
    return np.stack(model.a_out.sent[1:]), np.load(events)


def random_messages(rng, shape, bits):
    top = 2**bits if bits else 2
    messages = rng.integers(0, top, (3, *shape)) * (rng.random((3, *shape)) < 0.6)
    if rng.random() < 0.5:
        messages[1] = messages[0]  # as the image at a second step
    return [m.astype(np.uint8) for m in messages]


def check_lanes(rng, models, params, variables, shape, buffer, reached):
    """Each lane of ours sends what the stock model sends for its messages, and counts what the stock's wrapper does.

    Args:
        models: ours, the counted stock model, and the stock model.
        shape: of the messages, channels last.
        buffer: name of the variable that holds the next output.
        reached: all synapses that a message reaches, and those of a weight that is not zero.
    """
    ours, counted, stock = models
    lanes = int(rng.integers(1, 4))
    images = int(rng.integers(1, lanes + 1))
    channels, flat = shape[-1], variables[buffer].ndim == 1
    streams = [random_messages(rng, shape, variables["num_message_bits"].item()) for _ in range(lanes)]
    given = [[m.reshape(-1) if flat else m for m in stream] for stream in streams]
    expected = [outputs(stock, params, variables, stream, channels=channels)[0] for stream in given]
    events = [outputs(counted, params, variables, stream, channels=channels) for stream in given]
    side_by_side = [np.concatenate(step, axis=-1) for step in zip(*streams, strict=True)]
    side_by_side = [m.reshape(-1) if flat else m for m in side_by_side]
    wide = {**variables, buffer: np.concatenate([variables[buffer]] * lanes, axis=-1)}
    got, ours_events = outputs(ours, params, wide, side_by_side, channels=channels, lanes=lanes, images=images)
    np.testing.assert_array_equal(got, np.concatenate(expected, axis=-1))
    for (sent, _), wanted in zip(events, expected, strict=True):
        np.testing.assert_array_equal(sent, wanted)
    np.testing.assert_array_equal(ours_events, sum(rows for _, rows in events[:images]))
    for stream, (_, rows) in zip(given, events, strict=True):
        for message, row in zip(stream, rows, strict=True):
            found, graded = reached(message), variables["num_message_bits"].item()
            assert tuple(row) == ((0, 0, *found) if graded else (*found, 0, 0))


def compare_conv(rng):
    groups = int(rng.choice([1, 1, 2, 3]))
    channels, outs = int(groups * rng.integers(1, 4)), groups * int(rng.integers(1, 4))
    pool = rng.random() < 0.3
    if pool:
        groups = outs = channels
    shape = (int(rng.integers(1, 10)), int(rng.integers(1, 10)), channels)
    geometry = [tuple(int(n) for n in rng.integers(low, high, 2)) for low, high in ((1, 4), (0, 3), (1, 3), (1, 4))]
    stride, padding, dilation, kernel = geometry
    if any(n + 2 * p < d * (k - 1) + 1 for n, p, d, k in zip(shape[:2], padding, dilation, kernel, strict=True)):
        return False
    exponent = int(rng.integers(0, 12))  # the largest sums leave 24 bits
    limit = 128 << exponent
    weight = rng.integers(-limit, limit, (outs, *kernel, channels // groups)) * (rng.random((*kernel, 1)) < 0.8)
    if pool:
        weight[...] = weight[:, :1, :1]
    variables = {
        "weight": weight.astype(np.int32),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": np.array([groups]),
        "num_message_bits": np.array([int(rng.choice([0, 0, 1, 4, 8]))]),
        "a_buf": np.zeros(utils.output_shape(shape, outs, kernel, stride, padding, dilation), np.int32),
    }

    def reached(message):
        arrived = (message != 0).astype(np.int64)
        args = kernel, stride, padding, dilation, groups
        dense = int(utils.conv(arrived, np.ones_like(weight), *args).sum())
        return dense, int(utils.conv(arrived, (weight != 0).astype(np.int64), *args).sum())

    models = FastConv, StockConv, PyConvModelFixed
    check_lanes(rng, models, {"input_shape": shape}, variables, shape, "a_buf", reached)
    return True


def compare_dense(rng):
    outs, positions, channels = (int(n) for n in rng.integers(1, [40, 20, 40]))
    shape = (positions, channels)
    ins = positions * channels
    sign = rng.integers(0, 3)
    weights = 2 * rng.integers(-128 * (sign != 1), 128 * (sign != 2) + 1, (outs, ins)) + rng.integers(0, 2)
    if rng.random() < 0.2:
        weights[...] = rng.choice([-256, 254])  # many rows of these leave 16 bits
    params = {"weight_exp": int(rng.integers(-1, 7)), "sign_mode": SignMode.MIXED}
    variables = {
        "weights": weights.astype(np.int32),
        "num_message_bits": np.array([int(rng.choice([0, 0, 1, 4, 8]))]),
        "a_buff": np.zeros(outs, np.int32),
    }
    held = np.clip(weights, -256, 255) >> 1 << 1

    def reached(message):
        arrived = message != 0
        return int(arrived.sum()) * outs, int(((held != 0) & arrived).sum())

    check_lanes(rng, (FastDense, StockDense, PyDenseModelBitAcc), params, variables, shape, "a_buff", reached)


class Taking(PyLifResetModelBitAcc):
    """Lava's own, but that a spike takes `reset_by` from the potential."""

    def reset_voltage(self, spike_vector):
        self.v[spike_vector] -= self.proc_params["reset_by"]


def compare_neurons(rng):
    shape = tuple(int(n) for n in rng.integers(1, 6, int(rng.choice([1, 3]))))
    forgets = rng.random() < 0.6
    bias = rng.integers(-4096, 4096, shape) * (rng.random() < 0.6)
    variables = {
        "u": np.zeros(shape, np.int32),
        "v": np.zeros(shape, np.int32),
        "du": 4095 if forgets else int(rng.integers(0, 4096)),
        "dv": 0 if forgets else int(rng.integers(0, 4096)),
        "vth": int(rng.integers(0, 2 ** int(rng.integers(1, 18)))),
        "bias_mant": bias.astype(np.int16),
        "bias_exp": np.array([rng.integers(0, 8)], np.int16),
    }
    params = {"reset_interval": int(rng.integers(1, 6)), "reset_offset": int(rng.integers(0, 9))}
    taken = None if rng.random() < 0.5 else int(rng.integers(0, 2 ** int(rng.integers(1, 23))))
    params.update(depth=0, lanes=Lanes(1, 1, 12), reset_by=taken)
    largest = 2 ** int(rng.choice([4, 10, 16, 17, 20]))  # from 2**17 on, u wraps
    inputs = [rng.integers(-largest, largest + 1, shape).astype(np.int32) for _ in range(12)]
    stock, ours = (cls(params) for cls in (PyLifResetModelBitAcc if taken is None else Taking, FastLif))
    for model in (stock, ours):
        for name, value in variables.items():
            setattr(model, name, value.copy() if isinstance(value, np.ndarray) else value)
        model.a_in, model.s_out = Port(inputs), Port()
    for step in range(len(inputs)):
        for model in (stock, ours):
            model.time_step = step + 1
            model.run_spk()
        np.testing.assert_array_equal(ours.u, stock.u)
        np.testing.assert_array_equal(ours.v, stock.v)
        np.testing.assert_array_equal(ours.s_out.sent[-1], stock.s_out.sent[-1])
    ways["neurons without decays" if ours.forgets else "neurons with decays"] += 1
    ways["resets to zero" if taken is None else "other resets"] += 1
    ways["wrapping inputs" if largest >= 2**17 else "inputs in range"] += 1


generator = np.random.default_rng(7)
compared = 0
while compared < int(sys.argv[3]):
    if compare_conv(generator):
        compare_dense(generator)
        compare_neurons(generator)
        compared += 1
sys.stdout.write(json.dumps({"cases": compared, **ways}) + "\n")
