"""Float NIR graphs as anybody may draw them: whatever layers in a row, factors and thresholds of any shape, nested."""

from itertools import pairwise
from typing import Any

import nir
import numpy as np
import torch

from tests.export.foreign.foreign_graphs import DT, step

Nodes = dict[str, Any]


class Drawing:
    """A graph that grows from its input; `x` is what a random input makes of it, so that thresholds suit the drive."""

    def __init__(self, seed: int, loops: float = 0.0) -> None:
        self.loops = loops
        self.rng = np.random.default_rng(seed)
        shape = (self.whole(1, 3), self.whole(6, 12), self.whole(6, 12))
        self.nodes: Nodes = {"input": nir.Input(np.array(shape))}
        self.edges: list[tuple[str, str]] = []
        self.last = "input"
        self.x = torch.from_numpy(self.rng.random((6, *shape)))

    def whole(self, least: int, most: int) -> int:
        return int(self.rng.integers(least, most + 1))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])

    def after(self, node: nir.NIRNode) -> bool:
        """Whether the node takes what is there; then it stands after it."""
        try:
            made = step(node, self.x, {}, "", DT)
        except RuntimeError:  # a kernel beyond the image
            return False
        if not made.numel():
            return False
        name = f"{type(node).__name__.lower()}{len(self.nodes)}"
        self.nodes[name] = node
        self.edges.append((self.last, name))
        self.last, self.x = name, made
        return True

    def linear(self) -> None:
        """One layer, of any geometry."""
        draw = self.rng.choice(
            ["conv", "depthwise", "pointwise", "average", "sum", "scale"], p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1]
        )
        channels = self.shape[0]
        two = [(self.whole(least, most), self.whole(least, most)) for least, most in ((1, 4), (1, 2), (0, 2), (1, 2))]
        kernel, stride, padding, dilation = two
        if draw == "scale":
            shape: tuple[int, ...] = ((1,), (channels, 1, 1), self.shape)[self.whole(0, 2)]
            self.after(nir.Scale(self.rng.uniform(0.5, 1.5, shape)))
        elif draw in ("average", "sum"):
            kind = nir.AvgPool2d if draw == "average" else nir.SumPool2d
            half = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=True))
            self.after(kind(np.array(kernel), np.array(stride), np.array(half)))
        else:
            if draw == "pointwise":
                kernel = stride = dilation = (1, 1)
                padding = (0, 0)
            common = [g for g in (1, 2, 3, 4) if channels % g == 0]
            groups = channels if draw == "depthwise" else int(self.rng.choice(common)) if draw == "conv" else 1
            c_out = groups * self.whole(1, 2) if groups > 1 else self.whole(2, 6)
            same = draw == "conv" and self.chance(0.2)
            weight = self.rng.normal(0, 1, (c_out, channels // groups, *kernel)) / np.sqrt(channels // groups)
            options = (1, "same") if same else (stride, padding)
            self.after(nir.Conv2d(None, weight, *options, dilation, groups, self.rng.normal(0, 0.1, c_out)))

    def neuron(self) -> None:
        """Neurons whose thresholds suit the drive: of one, of each channel, or of each neuron."""
        shape = self.shape
        parts = [(1,), shape] if len(shape) == 1 else [(1,), (shape[0], 1, 1), shape]
        part = parts[self.whole(0, len(parts) - 1)]
        theta = float(self.x.std()) * self.rng.uniform(0.5, 1.5, part)
        loop = self.chance(self.loops)
        whole = np.broadcast_to(theta, shape).copy() if loop or self.chance(0.5) else theta
        ones = np.ones(whole.shape)
        kind = self.rng.choice(["IF", "LIF", "CubaLIF"], p=[0.6, 0.25, 0.15])
        tau, tau_syn = self.rng.uniform(2e-3, 2e-2), self.rng.uniform(1.5e-3, 4e-3)
        if kind == "IF":
            node: nir.NIRNode = nir.IF(ones, whole)
        elif kind == "LIF":
            node = nir.LIF(ones * tau, ones * tau / DT, ones * 0, whole)
        else:
            node = nir.CubaLIF(ones * tau_syn, ones * tau, ones * tau / DT, ones * 0, whole, w_in=tau_syn / DT)
        before = self.x
        self.after(node)
        if loop:
            self.loop(float(whole.mean()))
        self.x = torch.from_numpy((self.rng.random(before.shape) < 0.3).astype(np.float64))

    def loop(self, theta: float) -> None:
        """What the last neurons send comes back to them: straight, or through one or two linear nodes."""
        shape, neuron = self.shape, self.last
        links = [neuron]
        for _ in range(self.whole(0, 2)):
            if len(shape) == 1:
                size = shape[0]
                weight = theta * self.rng.normal(0, 0.5, (size, size))
                bias = theta * self.rng.normal(0, 0.1, size)
                node: nir.NIRNode = nir.Affine(weight, bias) if self.chance(0.5) else nir.Linear(weight)
            elif self.chance(0.7):
                weight = theta * self.rng.normal(0, 0.3, (shape[0], shape[0], 3, 3))
                node = nir.Conv2d(None, weight, 1, 1, 1, 1, theta * self.rng.normal(0, 0.1, shape[0]))
            else:
                node = nir.Scale(theta * self.rng.uniform(-0.5, 0.5, (shape[0], 1, 1)))
            name = f"{type(node).__name__.lower()}{len(self.nodes)}"
            self.nodes[name] = node
            links.append(name)
        self.edges += [*pairwise(links), (links[-1], neuron)]
        self.nodes[neuron] = self.nodes.pop(neuron)  # stays the last

    def flat(self) -> None:
        self.after(nir.Flatten({"input": np.array(self.shape)}, 0, -1))
        for size in ([self.whole(5, 20)] if self.chance(0.4) else []) + [5]:
            weight = self.rng.normal(0, 1, (size, self.shape[0])) / np.sqrt(self.shape[0])
            self.after(nir.Affine(weight, self.rng.normal(0, 0.1, size)) if self.chance(0.5) else nir.Linear(weight))
        self.neuron()

    def shortcut(self, source: str, shape: tuple[int, ...]) -> None:
        """From an earlier population into what enters the next neurons, where the shapes are equal."""
        if shape == self.shape and source != self.last and self.chance(0.5):
            self.after(nir.Scale(np.ones(1)))
            self.edges.append((source, self.last))

    def nest(self, start: int) -> None:
        """Puts the nodes from a place on into a graph, or into graphs in it."""
        names = list(self.nodes)[start:]
        for _ in range(self.whole(1, 2)):
            inner = {name: self.nodes.pop(name) for name in names}
            crossing = [(a, b) for a, b in self.edges if (a in inner) != (b in inner)]
            if len([b for _, b in crossing if b in inner]) > 1:
                self.nodes |= inner
                return
            within = [(a, b) for a, b in self.edges if a in inner and b in inner]
            first = next(b for a, b in crossing if b in inner)
            ports = {"in": nir.Input(np.array([1])), "out": nir.Output(np.array([1]))}
            edges = [("in", first), *within, (names[-1], "out")]
            name = f"block{len(self.nodes)}_{start}"
            self.nodes[name] = nir.NIRGraph(inner | ports, edges, type_check=False)
            kept = [e for e in self.edges if e not in within]
            self.edges = [(name if a in inner else a, name if b in inner else b) for a, b in kept]
            self.last, names = name, [name]


def random_graph(seed: int, loops: float = 0.0) -> nir.NIRGraph:
    """One to three blocks of one to three layers and neurons, then one or two matrices and neurons.

    `loops` is the share of the neurons that feed themselves.
    """
    drawing = Drawing(seed, loops)
    for _ in range(drawing.whole(1, 3)):
        start, source, shape = len(drawing.nodes), drawing.last, drawing.shape
        for _ in range(drawing.whole(1, 3)):
            drawing.linear()
        if source != "input":
            drawing.shortcut(source, shape)
        drawing.neuron()
        if drawing.chance(0.3):
            drawing.nest(start)
    drawing.flat()
    nodes = drawing.nodes | {"output": nir.Output(np.array([5]))}
    return nir.NIRGraph(nodes, [*drawing.edges, (drawing.last, "output")], type_check=False)
