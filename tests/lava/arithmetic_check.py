"""Compares our process models with the stock ones of lava-nc on random shapes. Runs under Lava's own interpreter.

Usage: python arithmetic_check.py WORKER_FOLDER SCRATCH_FOLDER CASES. Prints the number of cases compared.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, sys.argv[1])

from lava.proc.conv import utils
from lava.proc.conv.models import PyConvModelFixed
from lava.proc.dense.models import PyDenseModelBitAcc
from lava.utils.weightutils import SignMode
from synapses import CountingConv, CountingDense, StockConv

scratch = Path(sys.argv[2])


class Port:
    """Stands in for both ports of a model."""

    def __init__(self, messages=None):
        self.messages, self.sent, self.shape = list(messages or ()), [], None

    def recv(self):
        return self.messages.pop(0)

    def send(self, data):
        self.sent.append(np.array(data))


def outputs(cls, params, variables, messages):
    """What a model sends, one step late, and the events it counted if it counts."""
    events = scratch / "events.npy"
    np.save(events, np.zeros((len(messages), 3), np.int64))
    bits = variables["num_message_bits"].item()
    largest = 2**bits - 1 if bits else 1
    count = {"depth": 0, "steps": len(messages), "graded": bits > 0, "largest": largest}
    count.update(events=str(events), listen=None)
    model = cls({**params, "count": count})
    for name, value in variables.items():
        setattr(model, name, np.array(value))
    model.s_in, model.a_out = Port(messages), Port()
    model.s_in.messages.append(np.zeros_like(messages[0]))
    for step in range(len(messages) + 1):
        model.time_step = step + 1
        model.run_spk()
    return np.stack(model.a_out.sent[1:]), np.load(events)


def random_messages(rng, shape, bits):
    top = 2**bits if bits else 2
    messages = rng.integers(0, top, (3, *shape)) * (rng.random((3, *shape)) < 0.6)
    return [m.astype(np.int32) for m in messages]


def compare_conv(rng):
    groups = int(rng.choice([1, 1, 2, 3]))
    channels, outs = groups * rng.integers(1, 4), groups * int(rng.integers(1, 4))
    shape = (int(rng.integers(1, 10)), int(rng.integers(1, 10)), int(channels))
    geometry = [tuple(int(n) for n in rng.integers(low, high, 2)) for low, high in ((1, 4), (0, 3), (1, 3), (1, 4))]
    stride, padding, dilation, kernel = geometry
    if any(n + 2 * p < d * (k - 1) + 1 for n, p, d, k in zip(shape[:2], padding, dilation, kernel, strict=True)):
        return False
    exponent = int(rng.integers(0, 8))
    limit = 128 << exponent
    weight = rng.integers(-limit, limit, (outs, *kernel, channels // groups)) * (rng.random((*kernel, 1)) < 0.8)
    bits = int(rng.choice([0, 0, 1, 4, 8]))
    messages = random_messages(rng, shape, bits)
    variables = {
        "weight": weight.astype(np.int32),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": np.array([groups]),
        "num_message_bits": np.array([bits]),
        "a_buf": np.zeros(utils.output_shape(shape, outs, kernel, stride, padding, dilation), np.int32),
    }
    expected, _ = outputs(PyConvModelFixed, {}, variables, messages)
    rows = []
    for cls in (CountingConv, StockConv):
        got, events = outputs(cls, {"input_shape": shape}, variables, messages)
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype == np.int32
        rows.append(events)
    np.testing.assert_array_equal(*rows)
    for message, row in zip(messages, rows[0], strict=True):
        arrived = (message != 0).astype(np.int64)
        args = kernel, stride, padding, dilation, groups
        dense = int(utils.conv(arrived, np.ones_like(weight), *args).sum())
        effective = int(utils.conv(arrived, (weight != 0).astype(np.int64), *args).sum())
        assert tuple(row) == ((0, 0, dense) if bits else (dense, effective, 0)), (row, dense, effective)
    return True


def compare_dense(rng):
    outs, ins = (int(n) for n in rng.integers(1, 40, 2))
    sign = rng.integers(0, 3)
    weights = 2 * rng.integers(-128 * (sign != 1), 128 * (sign != 2) + 1, (outs, ins)) + rng.integers(0, 2)
    bits = int(rng.choice([0, 0, 1, 4, 8]))
    messages = random_messages(rng, (ins,), bits)
    params = {"weight_exp": int(rng.integers(-1, 7)), "sign_mode": SignMode.MIXED}
    variables = {
        "weights": weights.astype(np.int32),
        "num_message_bits": np.array([bits]),
        "a_buff": np.zeros(outs, np.int32),
    }
    expected, _ = outputs(PyDenseModelBitAcc, params, variables, messages)
    got, events = outputs(CountingDense, params, variables, messages)
    np.testing.assert_array_equal(got, expected)
    held = np.clip(weights, -256, 255) >> 1 << 1
    for message, row in zip(messages, events, strict=True):
        arrived = message != 0
        dense, effective = int(arrived.sum()) * outs, int(((held != 0) & arrived).sum())
        assert tuple(row) == ((0, 0, dense) if bits else (dense, effective, 0))


generator = np.random.default_rng(7)
compared = 0
while compared < int(sys.argv[3]):
    if compare_conv(generator):
        compare_dense(generator)
        compared += 1
sys.stdout.write(f"{compared}\n")
