"""Lava's Conv and Dense with ports for several lanes, each of which goes through the same weights.

Lava looks for the models of a process in the file that the process is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from synapses import FastConv, FastDense

__all__ = ["LaneConv", "LaneConvModel", "LaneDense", "LaneDenseModel"]


class LaneConv(Conv):
    """Lava's Conv with ports for several lanes, each of which goes through the same weights."""

    def __init__(self, *, lanes: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.s_in = InPort(shape=widened(self.input_shape, lanes))
        self.a_out = OutPort(shape=widened(self.output_shape, lanes))
        self.a_buf = Var(shape=widened(self.output_shape, lanes), init=0)


class LaneDense(Dense):
    """Lava's Dense with ports for several lanes, each of which goes through the same weights."""

    def __init__(self, *, lanes: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        outputs, inputs = arguments["weights"].shape
        self.s_in = InPort(shape=(lanes * inputs,))
        self.a_out = OutPort(shape=(lanes * outputs,))
        self.a_buff = Var(shape=(lanes * outputs,), init=0)


@implements(proc=LaneConv, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class LaneConvModel(FastConv):
    """The same for several lanes."""

    implements_process = None  # the decorator sets it


@implements(proc=LaneDense, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class LaneDenseModel(FastDense):
    """The same for several lanes."""

    implements_process = None


def widened(shape: Sequence[int], lanes: int) -> tuple[int, ...]:
    """A shape of Lava's with the channels of all lanes."""
    return (*(int(n) for n in shape[:-1]), int(shape[-1]) * lanes)
