"""What is kept while a foreign NIR graph is read: the options, and the populations and projections found so far."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import isfinite, prod
from typing import Literal

import nir
import numpy as np

from kdsnn.errors import InputError, LoweringError
from kdsnn.export.foreign.numbers import MAX_CELLS, shape_of
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.linear_stream import FloatArray, Stream
from kdsnn.export.lowering.network_builder import STEADY, Builder
from kdsnn.network import Input, Population, Shape

__all__ = ["USUAL_STEPS", "Foreign", "Port", "Reader", "shown"]

USUAL_STEPS = 4
NAME_LENGTH = 80  # leaves room for what is added to a name
CHOICES = {"fires_at": (">", ">="), "solve": ("euler", "exact"), "reset": ("zero", "subtract", "none")}


class Port(Enum):
    """The Input or Output of a graph in a graph: hands on what it gets."""

    IN = "in"
    OUT = "out"


def shown(name: str | Sequence[str]) -> str:
    """A node's name for a message: quoted and not too long."""
    whole = name if isinstance(name, str) else "_".join(name)
    return repr(whole if len(whole) <= 100 else whole[:97] + "...")


@dataclass(frozen=True)
class Foreign:
    """What a NIR file leaves open.

    Attributes:
        timesteps: T, for which an image is shown; None is `USUAL_STEPS`, or as many as the images in time have.
        dt: seconds in a step. Needed where a neuron leaks, and where an IF has r other than 1.
        input_scale: what the writer's network saw for a pixel of 1. Folds into the first weights.
        input_shape: `(C, H, W)` of an image, where the graph's Input is flat or has no shape.
        labels: name of each output neuron; None numbers them.
        fires_at: whether a potential equal to the threshold fires; None is as the writer does it.
        solve: how a leak is stepped: decay dt / tau (Euler), or 1 - exp(-dt / tau) (exact while the input is constant);
            None is as the writer does it.
        writer: name of the tool that wrote the file, in `kdsnn.choices.WRITERS`; None is not known.
        reset: what the neurons did at a spike; None is what the file says.
        in_time: whether each step of an image has a frame of its own.
        late: whether a reset by subtraction comes one step late, as in snnTorch; filled in from who wrote the file.

    Raises:
        InputError: a value that makes no sense.
    """

    timesteps: int | None = None
    dt: float | None = None
    input_scale: float = 1 / 255
    input_shape: Shape | None = None
    labels: Sequence[str] | None = None
    fires_at: Literal[">", ">="] | None = None
    solve: Literal["euler", "exact"] | None = None
    writer: str | None = None
    reset: Literal["zero", "subtract", "none"] | None = None
    in_time: bool = False
    late: bool = False

    def __post_init__(self) -> None:
        if self.dt is not None and not (isfinite(self.dt) and self.dt > 0):
            raise InputError(f"dt must be a positive number of seconds, not {self.dt}")
        if not (isfinite(self.input_scale) and self.input_scale > 0):
            raise InputError(f"input_scale must be a positive number, not {self.input_scale}")
        for what, allowed in CHOICES.items():
            if (value := getattr(self, what)) not in (None, *allowed):
                raise InputError(f"{what} must be {' or '.join(map(repr, allowed))}, not {value!r}")


@dataclass
class Reader:
    """The options of reading, and what has been found so far."""

    options: Foreign
    found: Builder = field(init=False)

    def start(self, name: str, node: nir.Input) -> Stream:
        """The input population, and the stream of its raw pixels; `spiking` scales what it sends."""
        input_shape = self.options.input_shape
        try:
            said = shape_of(node) or input_shape
        except InputError as error:
            raise InputError(f"node {shown(name)} (Input): {error.message}") from error
        if said is not None and len(said) in (2, 4) and (said[0] == 1 or input_shape is not None):
            said = said[1:]  # of a batch, or of time
        if said is None or len(said) not in (1, 3) or min(said) < 1 or prod(said) > MAX_CELLS:
            raise InputError(
                f"node {shown(name)} (Input) has shape {said}, neither (N,) nor (C, H, W)",
                hint="say the shape of an image: input_shape, or a data set of such images (--calibrate)",
            )
        shape = said if input_shape is None else tuple(input_shape)
        if prod(shape) != prod(said) or (len(said) == 3 and shape != said):
            raise InputError(
                f"node {shown(name)} (Input) has shape {said}, and an image {shape}",
                hint=""
                if self.options.in_time
                else "of frames in time say that they are: --in-time, and -T; their second axis is time",
            )
        self.found = Builder([], self.options.input_scale)
        self.found.populations.append(
            Population(self.free_name(name), shape, Input(8, static=not self.options.in_time))
        )
        stream = streams.spikes_of(self.found.populations[0].name, shape)
        return stream if shape == said else streams.flatten(stream)

    def free_name(self, name: str) -> str:
        """A valid name for a population, like the node's, that no population has yet.

        `output`, `_flatten` and `_to_` are what our NIR writer makes names of its own with.
        """
        safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name[:NAME_LENGTH]).replace("_to_", "-to-")
        safe = re.sub(r"(_flatten)+$", "", re.sub(r"^[^A-Za-z0-9_]", "_", safe)) or "_"
        taken = {"output"} | {p.name for p in self.found.populations}
        names = [safe, *(f"{safe}_{i}" for i in range(2, len(taken) + 3))]
        return next(n for n in names if n not in taken and STEADY + n not in taken)

    def spiking(
        self, stream: Stream, name: str, threshold: FloatArray, bias: FloatArray, decay_u: float, decay_v: float
    ) -> Stream:
        """Ends a stream in neurons; an infinite threshold makes integrators that never fire.

        Thresholds that differ between neurons become one: each neuron is scaled by its own, which changes nothing, as
        what a spike takes from a potential is a share of its threshold, or all of it.

        Raises:
            LoweringError: the reset is a late one of a potential that forgets all in a step.
        """
        if (threshold != threshold.flat[0]).any():
            stream, bias, threshold = streams.scale(stream, 1 / threshold), bias / threshold, np.ones(1)
        theta = level = float(threshold.flat[0])
        if self.options.fires_at == ">=" and isfinite(level):
            level = float(np.nextafter(level, 0))
        return self.found.spiking(
            stream,
            self.free_name(name),
            level,
            bias=bias,
            decay_u=decay_u,
            decay_v=decay_v,
            reset_by=self._taken(theta, decay_v) if isfinite(theta) else None,
        )

    def _taken(self, threshold: float, decay_v: float) -> float | None:
        """What a spike takes from a potential; None sets it to zero. A late subtraction is one that decays before."""
        if self.options.reset in (None, "zero"):
            return None
        if self.options.reset == "none":
            return 0.0
        if not self.options.late:
            return threshold
        if decay_v == 1:
            raise LoweringError("it forgets its potential in a step, and its reset by subtraction comes a step later")
        return threshold / (1 - decay_v)
