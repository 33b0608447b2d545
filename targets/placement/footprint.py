"""What neurons on one core need for their synapses: synaptic memory, input axons, and output axons of the cores before.

A population of shape `(C, H, W)` has C channels at H W positions, in row-major order; one of shape `(N,)` has N
channels at one position. A tile is a run of channels at a run of positions: what the placer puts on one core.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from kdsnn.hardware.limits import SynapseFormat
from kdsnn.network import Conv2d, Projection, Shape

__all__ = ["Footprint", "Tile", "layout"]

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tile:
    """Channels from `first_channel` to before `end_channel`, at positions from `first_position` to before the end."""

    first_channel: int
    end_channel: int
    first_position: int
    end_position: int

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.end_channel - self.first_channel

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return self.channels * (self.end_position - self.first_position)


def layout(shape: Shape) -> tuple[int, int]:
    """Channels and positions of a population of that shape."""
    return (shape[0], shape[1] * shape[2]) if len(shape) == 3 else (shape[0], 1)


@dataclass(frozen=True, eq=False)
class Run:
    """What a run of target positions hears.

    Attributes:
        sources: the source positions.
        lists: the lengths of the lists that are stored, in target positions, and how many lists have each.
    """

    sources: Int64Array
    lists: tuple[Int64Array, Int64Array]


@dataclass(frozen=True, eq=False)
class Footprint:
    """How a projection reaches its target, position by position.

    Attributes:
        source: name of the source population.
        taps: `(target positions, kernel taps)`: the source position that each tap reads, or -1 outside the image.
        inputs: source channels that a target neuron hears: those of its group.
        outputs: target channels of a group.
        convolution: whether it is one. A dense projection has one position and one tap, whatever its source's shape.
        format: how synapses are stored.
    """

    source: str
    taps: Int64Array
    inputs: int
    outputs: int
    convolution: bool
    format: SynapseFormat
    _runs: dict[tuple[int, int], Run] = field(default_factory=dict)

    @classmethod
    def of(cls, projection: Projection, shape: Shape, synapses: SynapseFormat) -> Footprint:
        """The footprint of a projection from a source of that shape."""
        op = projection.op
        if isinstance(op, Conv2d):
            c_out, c_in, *_ = op.weight.shape
            return cls(projection.source, _conv_taps(op, shape), c_in, c_out // op.groups, True, synapses)
        n_out, n_in = op.weight.shape
        return cls(projection.source, np.zeros((1, 1), dtype=np.int64), n_in, n_out, False, synapses)

    @property
    def shared(self) -> bool:
        """Whether positions share lists, and the channels at a position an axon."""
        return self.convolution and self.format.shared

    @cached_property
    def heard(self) -> Int64Array:
        """`(target positions,)`: the source positions that a neuron at each hears."""
        counts: Int64Array = (self.taps >= 0).sum(axis=1)
        return counts

    def sources(self, tile: Tile) -> Int64Array:
        """The source positions that some neuron of a tile hears."""
        return self._run(tile).sources

    def source_channels(self, tile: Tile) -> tuple[int, int]:
        """The first source channel that a tile hears, and the one after the last."""
        groups = self._groups(tile)
        return groups.start * self.inputs, groups.stop * self.inputs

    def synapses(self, tile: Tile) -> int:
        """Synapses onto a tile."""
        return tile.channels * self.inputs * int(self.heard[tile.first_position : tile.end_position].sum())

    def input_axons(self, tile: Tile) -> int:
        """One for each source neuron that some neuron of the tile hears; where they are shared, for each position."""
        first, end = self.source_channels(tile)
        return len(self.sources(tile)) * (1 if self.shared else end - first)

    def memory_bits(self, tile: Tile) -> int:
        """Synaptic memory of a tile: a list for each source neuron that it hears.

        Where lists are shared, source positions whose synapses lie at the same offsets, through the same taps, have
        one list for each of their channels. The channels have weights of their own.
        """
        (lengths, lists), bits = self._run(tile).lists, 0
        for width, groups in Counter(self._group_widths(tile)).items():
            bits += groups * int((lists * self.format.list_bits(lengths * width, indexed=self.convolution)).sum())
        return self.inputs * bits

    def _groups(self, tile: Tile) -> range:
        """The groups that a tile has channels of."""
        return range(tile.first_channel // self.outputs, (tile.end_channel - 1) // self.outputs + 1)

    def _group_widths(self, tile: Tile) -> Iterator[int]:
        """For each of those groups, how many of its channels are on the tile."""
        for group in self._groups(tile):
            first = max(tile.first_channel, group * self.outputs)
            yield min(tile.end_channel, (group + 1) * self.outputs) - first

    def _run(self, tile: Tile) -> Run:
        key = (tile.first_position, tile.end_position)
        if key not in self._runs:
            self._runs[key] = _run(self.taps[slice(*key)], shared=self.shared)
        return self._runs[key]


def _run(taps: Int64Array, *, shared: bool) -> Run:
    position, tap = np.nonzero(taps >= 0)
    sources, index = np.unique(taps[position, tap], return_inverse=True)
    through = np.full((len(sources), taps.shape[1]), len(taps), dtype=np.int32)
    through[index, tap] = position
    reached = through < len(taps)
    if shared and len(sources):
        offsets = np.where(reached, through - through.min(axis=1, keepdims=True), -1)
        distinct = {row.tobytes() for row in offsets.astype(np.int32)}
        reached = np.frombuffer(b"".join(distinct), dtype=np.int32).reshape(len(distinct), -1) >= 0
    return Run(sources, np.unique(reached.sum(axis=1), return_counts=True))


def _conv_taps(op: Conv2d, source: Shape) -> Int64Array:
    rows, columns = (_line(op, axis, source[axis + 1], op.output_shape(source)[axis + 1]) for axis in (0, 1))
    inside = (rows >= 0)[:, None, :, None] & (columns >= 0)[None, :, None, :]
    read = np.where(inside, rows[:, None, :, None] * source[2] + columns[None, :, None, :], -1)
    return read.reshape(len(rows) * len(columns), -1)


def _line(op: Conv2d, axis: int, size: int, out: int) -> Int64Array:
    """`(out, kernel)`: the row, or column, that each output reads through each tap, or -1 outside the image."""
    kernel = op.weight.shape[2 + axis]
    start = np.arange(out)[:, None] * op.stride[axis] - op.padding[axis]
    read = start + np.arange(kernel)[None, :] * op.dilation[axis]
    line: Int64Array = np.where((read >= 0) & (read < size), read, -1).astype(np.int64)
    return line
