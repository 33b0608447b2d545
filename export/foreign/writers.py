"""Which tool wrote a NIR file, as far as the file shows it, and what its files leave out.

What each writes was read in its code and compared with its own simulator (releases of snntorch 1.0.0, norse 1.1.0,
sinabs 2.0.3, spikingjelly 2.0.0). The names stand in `kdsnn.choices.WRITERS`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import nir
import numpy as np

from kdsnn.choices import WRITERS
from kdsnn.errors import InputError
from kdsnn.export.foreign.loops import NEURONS
from kdsnn.export.foreign.numbers import numbers
from kdsnn.export.foreign.reader import Foreign
from kdsnn.export.lowering.linear_stream import FloatArray

__all__ = ["Writer", "doubts", "settled"]


@dataclass(frozen=True)
class Writer:
    """What the files of a tool mean.

    Attributes:
        dt: seconds in a step that it writes time constants for; None where that is not fixed.
        fires_at: where its neurons fire.
        solve: how it steps a leak; see `Foreign.solve`.
        default_reset: what its neurons do unless told otherwise, where the file says zero whatever they do; None where
            the file says the truth.
        late: whether a reset by subtraction comes one step late: what a spike takes decays with the potential first.
    """

    dt: float | None = None
    fires_at: Literal[">", ">="] = ">"
    solve: Literal["euler", "exact"] = "euler"
    default_reset: str | None = None
    late: bool = False


SNNTORCH_STEP = 1e-4
BY_HAND = Writer()
NORSE = Writer(dt=1e-6)  # it writes tau as dt / tau_inv, so the dt that undoes it is its dt (1e-3) squared
SINABS = Writer(dt=1.0, fires_at=">=", solve="exact", default_reset="a reset by subtraction, and several spikes a step")
SNNTORCH = Writer(dt=SNNTORCH_STEP, default_reset="a reset by subtraction", late=True)
SPIKINGJELLY = Writer(dt=1e-4, fires_at=">=")  # it refuses to write soft resets

SAME = 1e-5  # relative: r in float32 against tau / dt
SAY_RESET = "say what the neurons did: --reset zero, subtract or none"
SAY_WRITER = (
    ", with --dt 1e-4 where they leak; or who wrote the file, if not snntorch: --writer NAME (kdsnn list writers),"
    " by-hand to take it at its word"
)


def settled(options: Foreign, nodes: Mapping[Any, Any]) -> Foreign:
    """The options with what the writer's files always mean filled in.

    Args:
        options: what the user says.
        nodes: of the graph, those of graphs in it too.

    Raises:
        InputError: the file looks like those of snnTorch, which do not say what its neurons did, and nobody says it; or
            what is said contradicts the file.
        UsageError: there is no such writer.
    """
    writer = BY_HAND if options.writer is None else WRITERS.get(options.writer)
    problems = _unsaid(options, writer, nodes)
    if problems:
        ways_out = SAY_RESET + (SAY_WRITER if options.writer in (None, "snntorch") else "")
        raise InputError("a NIR file cannot say everything, and here it matters", problems=problems, hint=ways_out)
    return replace(
        options,
        dt=writer.dt if options.dt is None else options.dt,
        fires_at=options.fires_at or writer.fires_at,
        solve=options.solve or writer.solve,
        late=writer.late or (options.writer is None and _as_snntorch(nodes)),
    )


def _unsaid(options: Foreign, writer: Writer, nodes: Mapping[Any, Any]) -> list[str]:
    """What the file would have to say, and what is said against it."""
    looks = options.writer in (None, "snntorch") and _as_snntorch(nodes)
    problems = []
    if options.reset is None and looks and options.writer is None:
        default = SNNTORCH.default_reset
        problems.append(
            "it looks like a file of snntorch (r is tau / 1e-4 in every neuron), and these say v_reset = 0 whatever the"
            f" neurons did, which is {default} by default"
        )
    elif options.reset is None and writer.default_reset is not None:
        problems.append(
            f"files of {options.writer} say v_reset = 0 whatever the neurons did, which is {writer.default_reset} by"
            " default"
        )
    if looks and _leaks(nodes):
        if options.dt is None and options.writer is None:
            problems.append("its neurons leak, and it does not say the time step: 1e-4 s, if snntorch wrote it")
        if options.dt is not None and not np.isclose(options.dt, SNNTORCH_STEP, rtol=SAME):
            problems.append(
                f"its neurons were written for steps of 1e-4 s (r is tau / 1e-4), and --dt is {options.dt:g}"
            )
    return problems


def doubts(options: Foreign, nodes: Mapping[Any, Any], loops: Collection[Any] = ()) -> str:
    """What may be otherwise than the file says, where it is no more than likely; nothing where nothing is.

    `loops` are the neurons that feed themselves.
    """
    if options.writer is None and options.reset is None and _as_sinabs(nodes):
        return (
            "it looks like a file of sinabs or norse. sinabs fires at v >= threshold, and unless told otherwise resets"
            " by subtraction and fires several times a step, which its files do not say (--writer NAME, --reset)"
        )
    drops = _drops_its_input(nodes, loops)
    if drops and options.reset in (None, "zero") and options.writer in (None, "snntorch") and _as_snntorch(nodes):
        return (
            f"with a reset to zero, snntorch's {drops} drops its input at the step after a spike, unless made with"
            " reset_delay=False, which its files do not say"
        )
    return ""


def _drops_its_input(nodes: Mapping[Any, Any], loops: Collection[Any]) -> str:
    """The kind of snnTorch's neurons that does, where there is one."""
    currents = [key for key, node in nodes.items() if isinstance(node, nir.CubaLIF)]
    if currents:
        return "RSynaptic" if any(key in loops for key in currents) else "Synaptic"
    return "RLeaky" if loops else ""


def _neurons(nodes: Mapping[Any, Any]) -> list[Any]:
    return [node for node in nodes.values() if isinstance(node, NEURONS)]


def _leaks(nodes: Mapping[Any, Any]) -> bool:
    constants = [value for node in _neurons(nodes) for value in _fields(node, "tau", "tau_mem", "tau_syn")]
    return any(np.isfinite(value).any() for value in constants)


def _as_snntorch(nodes: Mapping[Any, Any]) -> bool:
    """LIF and CubaLIF alone, at rest at 0, whose r and w_in are tau / 1e-4, or infinite with tau (no leak)."""
    found = _neurons(nodes)
    return bool(found) and all(
        isinstance(node, nir.LIF | nir.CubaLIF)
        and not any(value.any() for value in _fields(node, "v_leak"))
        and all(_cancels(node, *pair) for pair in (("tau", "r"), ("tau_mem", "r"), ("tau_syn", "w_in")))
        for node in found
    )


def _cancels(node: Any, tau: str, gain: str) -> bool:
    constants, gains = _fields(node, tau), _fields(node, gain)
    if not constants or not gains:
        return not constants
    if constants[0].shape != gains[0].shape:
        return False
    return bool(np.isclose(gains[0] * SNNTORCH_STEP, constants[0], rtol=SAME, atol=0).all())


def _as_sinabs(nodes: Mapping[Any, Any]) -> bool:
    """Named by the places of modules in a Sequential, as nirtorch does it, with r = 1 and time constants in steps."""
    named = {key: node for key, node in nodes.items() if not isinstance(node, nir.Input | nir.Output)}
    found = _neurons(nodes)
    return (
        bool(found)
        and all(re.fullmatch(r"\d+(\.\d+)*", str(key[-1])) for key in named)
        and all(isinstance(node, nir.IF | nir.LIF | nir.LI) for node in found)
        and all((value == 1).all() for node in found for value in _fields(node, "r"))
        and all((value >= 1).all() for node in found for value in _fields(node, "tau"))
    )


def _fields(node: Any, *names: str) -> list[FloatArray]:
    """Those fields of a node that it has and that are numbers; what is broken its handler says."""
    values = []
    for name in (name for name in names if getattr(node, name, None) is not None):
        with suppress(InputError):
            values.append(numbers(getattr(node, name), name, infinite=True))
    return values
