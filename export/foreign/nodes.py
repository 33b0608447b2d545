"""What each NIR node makes of the stream that enters it: `HANDLERS`; what cannot be lowered is refused by name.

The neurons, stepped with dt (primitives of NIR, Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9), with
decay(tau) = dt / tau (Euler):

    IF       v <- v + r dt S                                               r = 1: a weight a step, see `_if_gain`
    LIF      v <- v + decay(tau) ((v_leak - v) + r S)
    CubaLIF  I <- I + decay(tau_syn) (w_in S - I)
             v <- v + decay(tau_mem) ((v_leak - v) + r I)                  with the new I

and each fires where v > v_threshold, and then v <- v_reset, which must be zero. `I`, `LI` and `CubaLI` integrate alike
and never fire: they can only be the output, whose last potential is the score. A float population computes the same:
the factors of S fold into the weights (u = decay(tau_mem) r I), v_leak becomes a bias. snnTorch and spikingjelly write
r and w_in so that the factors cancel (r = tau / dt), and tau = r = infinity for no decay at all: then the factor is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import nir
import numpy as np

from kdsnn.errors import InputError, LoweringError
from kdsnn.export.foreign.numbers import MAX_CELLS, numbers, pair, shape_of, spread
from kdsnn.export.foreign.reader import Port, Reader, shown
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.composition import same_sized
from kdsnn.export.lowering.linear_stream import FloatArray, Stream
from kdsnn.network import Conv2d

__all__ = ["HANDLERS", "REFUSED", "lower_node"]

ROUNDING = 1e-6  # relative: files hold float32, whose products of a time constant and its inverse miss 1 by this


def lower_node(reader: Reader, stream: Stream, node: Any, name: str) -> Stream:
    """What a node makes of the stream that enters it.

    Raises:
        LoweringError: no target can run the node.
        InputError: the node is broken.
    """
    if isinstance(node, Port):
        return stream
    kind = type(node).__name__
    what = f"node {shown(name)} ({kind})"
    for refused, reason in REFUSED.items():
        if isinstance(node, refused):
            raise LoweringError(f"{what} cannot be lowered: {reason}")
    handler = next((HANDLERS[c] for c in type(node).__mro__ if c in HANDLERS), None)
    if handler is None:
        raise LoweringError(f"{what} cannot be lowered", hint=_supported())
    try:
        return handler(reader, stream, node, name)
    except LoweringError as error:
        raise LoweringError(f"{what} cannot be lowered: {error.message}", hint=error.hint) from error
    except InputError as error:
        raise InputError(f"{what}: {error.message}", hint=error.hint) from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{what} is broken: {str(error)[:300]}") from error


def _supported() -> str:
    return f"nodes that can: {', '.join(sorted(kind.__name__ for kind in HANDLERS))}"


# Handlers of linear nodes.


def _conv2d(_reader: Reader, stream: Stream, node: nir.Conv2d, _name: str) -> Stream:
    weight = numbers(node.weight, "weight")
    if weight.ndim != 4:
        raise InputError(f"its weight has shape {weight.shape}, not (C_out, C_in / groups, H, W)")
    stride, dilation = pair(node.stride, "stride", 1), pair(node.dilation, "dilation", 1)
    padding, groups = node.padding, pair(node.groups, "groups", 1)[0]
    if isinstance(padding, bytes):
        padding = padding.decode()
    if isinstance(padding, str) and padding == "same":
        if stride != (1, 1):
            raise InputError(f"its padding is 'same', and its stride {stride}")
        return _convolve(stream, same_sized(weight, dilation, groups), node.bias)
    padding = 0 if isinstance(padding, str) and padding == "valid" else padding
    return _convolve(stream, Conv2d(weight, stride, pair(padding, "padding", 0), dilation, groups), node.bias)


def _sum_pool(_reader: Reader, stream: Stream, node: nir.SumPool2d | nir.AvgPool2d, _name: str) -> Stream:
    kernel, stride = pair(node.kernel_size, "kernel_size", 1), pair(node.stride, "stride", 1)
    cell = 1.0 if isinstance(node, nir.SumPool2d) else 1 / prod(kernel)
    channels = stream.shape[0]
    if channels * prod(kernel) > MAX_CELLS:
        raise InputError(f"its kernel_size is {kernel}")
    weight = np.full((channels, 1, *kernel), cell)
    return _convolve(stream, Conv2d(weight, stride, pair(node.padding, "padding", 0), groups=channels), None)


def _convolve(stream: Stream, op: Conv2d, bias: Any) -> Stream:
    shape = op.output_shape(stream.shape)
    padded = [n + 2 * p for n, p in zip(stream.shape[1:], op.padding, strict=True)]
    if max(prod(shape), stream.shape[0] * prod(padded)) > MAX_CELLS:
        raise InputError(f"it makes {shape}, more than {MAX_CELLS} cells")
    values = None if bias is None else np.broadcast_to(numbers(bias, "bias").reshape(-1), shape[:1])
    return streams.convolve(stream, op, values)


def _linear(_reader: Reader, stream: Stream, node: nir.Linear | nir.Affine, _name: str) -> Stream:
    """A matrix product; a Flatten before it that was left out is put in, as nothing else could be meant."""
    weight = numbers(node.weight, "weight")
    if weight.ndim != 2 or weight.shape[1] != prod(stream.shape):
        raise InputError(f"its weight has shape {weight.shape}, and {stream.shape} enters it")
    bias = getattr(node, "bias", None)
    values = None if bias is None else np.broadcast_to(numbers(bias, "bias").reshape(-1), weight.shape[:1])
    return streams.multiply(streams.flatten(stream), weight, values)


def _scale(_reader: Reader, stream: Stream, node: nir.Scale, _name: str) -> Stream:
    return streams.scale(stream, spread(node.scale, "scale", stream.shape))


def _flatten(_reader: Reader, stream: Stream, node: nir.Flatten, _name: str) -> Stream:
    """Dimensions are counted without the batch, unless the node's own shape has one."""
    start, end, dims = int(node.start_dim), int(node.end_dim), len(stream.shape)
    batch = shape_of(node) == (1, *stream.shape)
    start, end = (d if d < 0 else d - batch for d in (start, end))
    first, last = (d + dims if d < 0 else d for d in (start, end))
    if dims > 1 and (max(first, 0) != 0 or last < dims - 1):
        raise LoweringError(f"it keeps a dimension of {stream.shape} (start_dim={start}, end_dim={end})")
    return streams.flatten(stream)


# Handlers of neurons.


def _if(reader: Reader, stream: Stream, node: nir.IF | nir.I, name: str) -> Stream:
    stream, threshold = _neurons(stream, node)
    stream = streams.scale(stream, _if_gain(reader, spread(node.r, "r", stream.shape)))
    return reader.spiking(stream, name, threshold, np.zeros(stream.shape), 1.0, 0.0)


def _if_gain(reader: Reader, r: FloatArray) -> FloatArray:
    """What a weight of one adds to the potential in a step.

    NIR's equation gives r dt (spikingjelly: r = 1 / dt). Yet sinabs, norse and kdsnn write r = 1 for a weight a step,
    whatever dt is; so r = 1 is taken as that. Any other r needs dt: without it, 1e4 would be taken for a weight.
    """
    if (r == 1).all():
        return r
    if reader.options.dt is None:
        raise InputError(
            f"its r is {r.flat[0]:g}, whose meaning depends on the time step",
            hint=f"say --dt, for example {1 / r.flat[0]:g} if r is 1 / dt; --dt 1 takes r as it is",
        )
    return _snapped(r * reader.options.dt)


def _lif(reader: Reader, stream: Stream, node: nir.LIF | nir.LI, name: str) -> Stream:
    stream, threshold = _neurons(stream, node)
    decay, gain = _decay(reader, stream, node.tau, node.r, ("tau", "r"))
    leak = spread(node.v_leak, "v_leak", stream.shape)
    return reader.spiking(streams.scale(stream, gain), name, threshold, decay * leak, 1.0, decay)


def _cuba_lif(reader: Reader, stream: Stream, node: nir.CubaLIF | nir.CubaLI, name: str) -> Stream:
    stream, threshold = _neurons(stream, node)
    decay_u, into_current = _decay(reader, stream, node.tau_syn, node.w_in, ("tau_syn", "w_in"))
    decay_v, into_potential = _decay(reader, stream, node.tau_mem, node.r, ("tau_mem", "r"))
    leak = spread(node.v_leak, "v_leak", stream.shape)
    stream = streams.scale(stream, into_current * into_potential)
    return reader.spiking(stream, name, threshold, decay_v * leak, decay_u, decay_v)


def _neurons(stream: Stream, node: Any) -> tuple[Stream, FloatArray]:
    """The stream in the shape of the neurons, and their thresholds, infinite where they never fire."""
    if isinstance(node, nir.I | nir.LI | nir.CubaLI):
        return stream, np.full(stream.shape, np.inf)
    threshold = spread(node.v_threshold, "v_threshold", stream.shape)
    if threshold.min() <= 0:
        raise LoweringError(f"its v_threshold is {threshold.min():g}, not positive")
    if np.any(numbers(0 if node.v_reset is None else node.v_reset, "v_reset")):
        raise LoweringError("its v_reset is not zero, which is the only reset of the hardware")
    return stream, threshold


def _decay(reader: Reader, stream: Stream, tau: Any, r: Any, names: tuple[str, str]) -> tuple[float, FloatArray]:
    """Share of the state lost in a step, and what a drive of one adds to it: r times that share."""
    taus = spread(tau, names[0], stream.shape, infinite=True)
    gains = spread(r, names[1], stream.shape, infinite=True)
    if np.isinf(taus).all() and np.isinf(gains).all() and taus.min() > 0 and gains.min() > 0:
        return 0.0, np.ones(stream.shape)
    if not (np.isfinite(taus).all() and np.isfinite(gains).all()):
        raise InputError(f"its {names[0]} and {names[1]} are not finite together")
    if taus.min() <= 0:
        raise InputError(f"its {names[0]} is {taus.min():g}, not positive")
    if reader.options.dt is None:
        raise InputError(
            f"it leaks, and NIR does not say the time step ({names[0]} is {taus.flat[0]:g})",
            hint="say --dt in seconds, or who wrote the file: --writer NAME (kdsnn list writers);"
            f" {names[0]} / {names[1]} is {taus.flat[0] / gains.flat[0]:g} here",
        )
    decays = reader.options.dt / taus if reader.options.solve == "euler" else -np.expm1(-reader.options.dt / taus)
    if np.ptp(decays) > ROUNDING * decays.max():
        raise LoweringError(f"its {names[0]} differs between neurons, and a population has one decay")
    decay = float(_snapped(decays).flat[0])
    if decay > 1:
        raise LoweringError(f"its {names[0]} is {taus.min():g}, shorter than dt ({reader.options.dt:g})")
    return decay, _snapped(gains * decays)


def _snapped(values: FloatArray) -> FloatArray:
    """The values, with those that miss one by no more than float32 does set to one."""
    snapped: FloatArray = np.where(np.abs(values - 1) < ROUNDING, 1.0, values)
    return snapped


HANDLERS: dict[type, Callable[[Reader, Stream, Any, str], Stream]] = {
    nir.Affine: _linear,
    nir.AvgPool2d: _sum_pool,
    nir.Conv2d: _conv2d,
    nir.CubaLI: _cuba_lif,
    nir.CubaLIF: _cuba_lif,
    nir.Flatten: _flatten,
    nir.I: _if,
    nir.IF: _if,
    nir.LI: _lif,
    nir.LIF: _lif,
    nir.Linear: _linear,
    nir.Scale: _scale,
    nir.SumPool2d: _sum_pool,
}
REFUSED: dict[type, str] = {
    nir.Conv1d: "images have two dimensions",
    nir.Delay: "every spike arrives in its own step",
    nir.Threshold: "it fires without a state to reset; an IF does not compute that",
}
