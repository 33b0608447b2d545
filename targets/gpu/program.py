"""A network on a torch device, computed exactly: `exact_products.py` says how.

Images lie as `(B, H, W, C)` inside, spikes as one byte each. A population computes a block of time steps at once, and
then the next one does; only one that feeds itself waits for its own spikes of each step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kdsnn.errors import TargetUnavailableError, UsageError
from kdsnn.network import DECAY_UNITY, Network, Population, counters, neuron_of
from kdsnn.network.counters import Tally
from kdsnn.network.or_pool import max_pool
from kdsnn.targets.batches import Activity, BatchProgram
from kdsnn.targets.gpu.events import events_of
from kdsnn.targets.gpu.exact_products import Arithmetic, any_of, int8_is_exact, sums_of, words
from kdsnn.targets.gpu.layout import bias_of, channels_first, channels_last
from kdsnn.targets.gpu.neurons import State, fire_in_periods, forgets_nothing, integrate
from kdsnn.targets.gpu.reused_memory import Scratch

__all__ = ["GpuProgram"]

CACHED_STATES, STATES = 2**23, 2**27  # neurons of the largest population, times steps and images at once; on a GPU
LONGEST = 128  # time steps at once: longer images go in blocks, so that memory does not grow with T
LARGEST_BYTE = 255


class GpuProgram(BatchProgram):
    """A network on a torch device.

    Args:
        network: fits the target.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        arithmetic: of the products: `int8`, `float32`, or `auto`.

    Raises:
        UsageError: int8 products are asked for, and this device is not known to compute them exactly.
    """

    def __init__(self, network: Network, *, device: str, arithmetic: str) -> None:
        place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        products = _products(place, arithmetic)
        states = CACHED_STATES if place.type == "cpu" else STATES
        self.block = min(network.timesteps, LONGEST)
        held = network.spiking if network.static else network.populations
        super().__init__(
            network,
            name="gpu",
            batch=max(1, states // (self.block * max(p.neurons for p in held))),
            versions={"torch": torch.__version__, "device": str(place), "products": products},
        )
        exact = Arithmetic(Scratch(place), products == "int8")
        self.scratch = exact.scratch
        shapes = {p.name: p.shape for p in network.populations}
        bits = {network.input.name: network.input_bits}
        self.sums = {p.name: sums_of(p, shapes[p.source], bits.get(p.source, 1), exact) for p in network.projections}
        self.echoes = {
            q.name: [self.sums[p.name] for p in network.incoming(q.name) if p.recurrent] for q in network.spiking
        }
        self.biases = {p.name: bias_of(p, self.scratch.device) for p in network.spiking}
        self.constant = {p.name: self._constant(p) for p in network.spiking}
        pools = {p.name: max_pool(network, p) for p in network.spiking}
        self.pools = {
            name: any_of(op, self.scratch, f"spikes of {name}") for name, op in pools.items() if op is not None
        }
        self.events = {
            p.name: events_of(p, shapes[p.source], place, graded=bits.get(p.source, 1) > 1) for p in network.projections
        }

    def simulate(self, images: npt.NDArray[np.uint8], recorded: Collection[str]) -> Iterator[Activity]:
        """What each population but the input does on a batch; see `BatchProgram.simulate`."""
        network, end = self.network, 0
        once = self.block == network.timesteps  # spikes of one block are read where they lie
        kept = {} if once else {name: _trains(network, name, len(images)) for name in recorded}
        read: dict[str, npt.NDArray[np.int32]] = {}
        emitted: dict[str, torch.Tensor] = {}
        states: dict[str, State] = {}
        with _exact(), torch.inference_mode():
            while end < network.timesteps:
                begin, end = end, min(end + self.block, network.timesteps)
                frames = self._frames(images, begin, end)
                shown = (frames != 0).sum(dim=(0, 1)) * ((end - begin) // len(frames))
                _add(emitted, network.input.name, shown)
                last = {network.input.name: frames[-1:]}
                for population, train in self._simulate(frames, end - begin, states):
                    name = population.name
                    last[name] = train[-1:]
                    _add(emitted, name, _counted(train))
                    if name in recorded:
                        spikes = channels_first(train.transpose(0, 1).view(torch.uint8), population)
                        if once:
                            kept[name] = spikes
                        else:
                            kept[name][:, begin:end] = spikes
                    if end == network.timesteps and not neuron_of(population).fires:
                        read[name] = channels_first(states[name].v, population).copy()
            tallies = self._tallies(emitted, last)
        for population in network.spiking:
            name = population.name
            yield Activity(name, tallies[name], kept.pop(name, None), read.get(name))

    def _frames(self, images: npt.NDArray[np.uint8], begin: int, end: int) -> torch.Tensor:
        """What the input sends, `(T, B, *shape)`, or `(1, B, *shape)` if each step has the same: once is enough."""
        steps = slice(0, 1) if self.network.static else slice(begin, end)
        messages = counters.input_messages(self.network, images, steps).swapaxes(0, 1)
        return torch.tensor(channels_last(messages, self.network.input), device=self.scratch.device)

    def _simulate(
        self, frames: torch.Tensor, steps: int, states: dict[str, State]
    ) -> Iterator[tuple[Population, torch.Tensor]]:
        """Each population in turn, and its spikes in a block of steps, `(T, B, *shape)` (bool).

        They are in scratch until the next block or batch, and so are the states, which the next population takes where
        one block is all.
        """
        network = self.network
        sent, whole = {network.input.name: frames}, steps == network.timesteps
        for population in network.spiking:
            name, neuron = population.name, neuron_of(population)
            if name in self.pools:
                (projection,) = network.incoming(name)
                sent[name] = _each(self.pools[name], sent[projection.source])
            else:
                drive, echoes = self._drive(name, sent), self.echoes[name]
                shape = steps, *drive.shape[1:]
                train = sent[name] = self.scratch.take(f"spikes of {name}", shape, torch.bool)
                if whole and len(drive) == 1 and not echoes and forgets_nothing(neuron):
                    fire_in_periods(neuron, drive[0], train, self.scratch)
                else:
                    if name not in states or whole:
                        states[name] = self._at_rest("v" if whole else f"v of {name}", shape[1:])
                    integrate(neuron, drive, self.biases[name], echoes, states[name], train, self.scratch)
            yield population, sent[name]

    def _at_rest(self, name: str, shape: Sequence[int]) -> State:
        """Where every image begins."""
        v = self.scratch.take(name, shape, torch.int32).zero_()
        return State(v, torch.zeros((), dtype=torch.int32, device=v.device))

    def _drive(self, name: str, sent: dict[str, torch.Tensor]) -> torch.Tensor:
        """What other populations send to one: `(T, B, *shape)`, or `(1, B, *shape)` if each step has the same."""
        drive = self.constant[name]
        for turn, projection in enumerate(p for p in self.network.incoming(name) if not p.recurrent):
            sums = self.sums[projection.name]
            part = _each(sums.weighted, sent[projection.source])
            steps = max(len(part), len(drive) if turn else 1)
            out = self.scratch.take(f"drive {turn % 2}", (steps, *part.shape[1:]), torch.int32)
            drive = torch.add(drive, part, alpha=sums.scale, out=out)
        return drive

    def _tallies(self, emitted: dict[str, torch.Tensor], last: dict[str, torch.Tensor]) -> dict[str, Tally]:
        """What each population did in all steps; its own last spikes reach nothing.

        All numbers are read at once, for to read is to wait for a GPU.

        Args:
            emitted: messages of each neuron over all steps and images.
            last: those of the last step, `(1, B, *shape)`.
        """
        network, measured = self.network, []
        for population in network.spiking:
            measured.append(emitted[population.name].sum(dtype=torch.int64).reshape(1))
            for projection in network.incoming(population.name):
                carried = emitted[projection.source]
                if projection.recurrent:
                    carried = carried.to(torch.int64) - _counted(last[projection.source]).to(torch.int64)
                measured.append(self.events[projection.name].reached(carried))
        numbers, tallies = iter(torch.cat(measured).tolist()), dict[str, Tally]()
        for population in network.spiking:
            name = population.name
            counted = Tally(spikes=next(numbers), neuron_updates=network.timesteps * last[name].numel())
            for projection in network.incoming(name):
                counted += self.events[projection.name].tally(next(numbers), next(numbers))
            tallies[name] = counted
        return tallies

    def _constant(self, population: Population) -> torch.Tensor:
        """What is added to the sums of every step: what a shift took off, and the bias where no current decays."""
        bias = self.biases[population.name]
        constant = bias if neuron_of(population).decay_u == DECAY_UNITY else torch.zeros_like(bias)
        for projection in self.network.incoming(population.name):
            sums = self.sums[projection.name]
            if sums.missing is not None:
                constant = torch.add(constant, sums.missing, alpha=sums.scale)
        return constant


def _products(device: torch.device, arithmetic: str) -> str:
    trusted = device.type == "cpu" and int8_is_exact()
    if arithmetic == "int8" and not trusted:
        raise UsageError(f"int8 products are not known to be exact on {str(device)!r}", hint="use float32")
    return "int8" if trusted and arithmetic != "float32" else "float32"


def _each(function: Callable[[torch.Tensor], torch.Tensor], sent: torch.Tensor) -> torch.Tensor:
    """A function of images, for all steps at once: `(T, B, *source)` to `(T, B, *target)`."""
    made = function(sent.flatten(0, 1))
    return made.reshape(*sent.shape[:2], *made.shape[1:])


def _counted(train: torch.Tensor) -> torch.Tensor:
    """Spikes of each neuron over all steps and images; added up in bytes, as many as a byte can count."""
    trains = torch.split(words(train.flatten(0, 1)), LARGEST_BYTE)
    parts = [part.sum(dim=0, dtype=part.dtype).view(torch.uint8) for part in trains]
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0, dtype=torch.int64)


def _add(totals: dict[str, torch.Tensor], name: str, more: torch.Tensor) -> None:
    """Adds to what was counted so far; in int64 from the second time on."""
    totals[name] = totals[name].to(torch.int64) + more if name in totals else more


def _trains(network: Network, name: str, images: int) -> npt.NDArray[np.uint8]:
    return np.empty((images, network.timesteps, *network.population(name).shape), dtype=np.uint8)


@contextmanager
def _exact() -> Iterator[Any]:
    """Full float32 products: without TF32 or bfloat16 shortcuts, whatever the process has set."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise TargetUnavailableError("the GPU ran out of memory", hint="run with --device cpu") from error
    finally:
        torch.set_float32_matmul_precision(precision)
