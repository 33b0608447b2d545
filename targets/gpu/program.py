"""A network on a torch device, computed exactly: `exact_products.py` says how.

Images lie as `(B, H, W, C)` inside, spikes as one byte each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kdsnn.errors import TargetUnavailableError, UsageError
from kdsnn.network import DECAY_UNITY, LOWEST, MEMBRANE_SHIFT, Network, Neuron, Population, counters, neuron_of
from kdsnn.network.counters import Tally
from kdsnn.network.or_pool import max_pool
from kdsnn.targets.batches import Activity, BatchProgram
from kdsnn.targets.gpu.events import events_of
from kdsnn.targets.gpu.exact_products import Arithmetic, any_of, int8_is_exact, sums_of, words
from kdsnn.targets.gpu.reused_memory import Scratch

__all__ = ["GpuProgram"]

CACHED_STATES, STATES = 2**23, 2**27  # neurons of the largest population, times steps and images at once; on a GPU
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
        super().__init__(
            network,
            name="gpu",
            batch=max(1, states // (network.timesteps * max(p.neurons for p in network.spiking))),
            versions={"torch": torch.__version__, "device": str(place), "products": products},
        )
        exact = Arithmetic(Scratch(place), products == "int8")
        self.scratch = exact.scratch
        shapes = {p.name: p.shape for p in network.populations}
        bits = {network.input.name: network.input_bits}
        self.sums = {p.name: sums_of(p, shapes[p.source], bits.get(p.source, 1), exact) for p in network.projections}
        self.biases = {p.name: _bias(p, self.scratch.device) for p in network.spiking}
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
        with _exact():
            messages = _last(counters.input_messages(self.network, images)[:, 0], self.network.input)
            image = torch.tensor(messages, device=self.scratch.device)
            emitted = {self.network.input.name: (image != 0).sum(dim=0) * self.network.timesteps}
            for population, train, v in self._simulate(image):
                name = population.name
                emitted[name] = _counted(train)
                counted = Tally(spikes=int(emitted[name].sum(dtype=torch.int64)), neuron_updates=train.numel())
                for projection in self.network.incoming(name):
                    counted += self.events[projection.name].tally(emitted[projection.source])
                trains = (
                    _first(train.transpose(0, 1).view(torch.uint8), population).copy() if name in recorded else None
                )
                yield Activity(name, counted, trains, None if v is None else _first(v, population).copy())

    def _simulate(self, image: torch.Tensor) -> Iterator[tuple[Population, torch.Tensor, torch.Tensor | None]]:
        """Each population, its spikes `(T, B, *shape)` (bool), and of an integrator its last potential, in turn.

        Both are in scratch: the spikes until the next batch, the potential until the next population.
        """
        network = self.network
        sent = {network.input.name: image.unsqueeze(0)}  # the same at every step: once is enough
        with torch.inference_mode():
            for population in network.spiking:
                name, neuron, v = population.name, neuron_of(population), None
                if name in self.pools:
                    (projection,) = network.incoming(name)
                    train = _each(self.pools[name], sent[projection.source])
                else:
                    drive = self._drive(name, sent)
                    shape = network.timesteps, len(image), *drive.shape[2:]
                    train = self.scratch.take(f"spikes of {name}", shape, torch.bool)
                    if len(drive) == 1 and neuron.fires and (neuron.decay_u, neuron.decay_v) == (DECAY_UNITY, 0):
                        self._fire_in_periods(neuron, drive[0], train)
                    else:
                        v = self._integrate(neuron, drive, self.biases[name], train)
                sent[name] = train
                yield population, train, None if neuron.fires else v

    def _drive(self, name: str, sent: dict[str, torch.Tensor]) -> torch.Tensor:
        """What enters the neurons of a population: `(T, B, *shape)`, or `(1, B, *shape)` if each step has the same."""
        drive = self.constant[name]
        for turn, projection in enumerate(self.network.incoming(name)):
            sums = self.sums[projection.name]
            part = _each(sums.weighted, sent[projection.source])
            steps = max(len(part), len(drive) if turn else 1)
            out = self.scratch.take(f"drive {turn % 2}", (steps, *part.shape[1:]), torch.int32)
            drive = torch.add(drive, part, alpha=sums.scale, out=out)
        return drive

    def _integrate(self, neuron: Neuron, drive: torch.Tensor, bias: torch.Tensor, train: torch.Tensor) -> torch.Tensor:
        """Writes the spikes of a population, from what enters it, and returns its potential after the last step."""
        threshold = int(neuron.threshold) << MEMBRANE_SHIFT
        v = self.scratch.take("v", drive.shape[1:], torch.int32).zero_()
        stays = self.scratch.take("stays", v.shape, torch.int32)
        u = torch.zeros((), dtype=torch.int32, device=v.device)
        for step, silent in enumerate(train):
            entering = drive[min(step, len(drive) - 1)]
            if neuron.decay_u != DECAY_UNITY:
                u = _decay(u, int(neuron.decay_u)) + entering
                entering = u + bias
            v = _decay(v, int(neuron.decay_v)).add_(entering)
            if neuron.clips:
                v.clamp_(min=LOWEST)
            torch.le(v, threshold, out=stays)  # 0 or 1, in the type that it multiplies
            v.mul_(stays)
            silent.copy_(stays)
        train.bitwise_not_()
        return v

    def _fire_in_periods(self, neuron: Neuron, drive: torch.Tensor, train: torch.Tensor) -> None:
        """Writes the spikes of neurons that get the same at every step and forget nothing.

        One that fires first in step p, where p times its drive is above the threshold, does so in all multiples of p.
        One that falls never fires, whether it clips or not.
        """
        threshold = int(neuron.threshold) << MEMBRANE_SHIFT
        fired, before = (self.scratch.take(name, drive.shape, torch.uint8) for name in ("fired", "fired before"))
        train.copy_(torch.gt(drive, threshold, out=before))  # into bytes: a CPU compares into a bool one at a time
        for period in range(2, len(train) + 1):
            torch.gt(drive, threshold // period, out=fired)
            words(train)[period - 1 :: period] |= words(before).bitwise_xor_(words(fired))
            fired, before = before, fired

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


def _decay(x: torch.Tensor, amount: int) -> torch.Tensor:
    if amount == 0:
        return x
    if amount == DECAY_UNITY:
        return torch.zeros_like(x)
    kept = x.abs().to(torch.int64) * (DECAY_UNITY - amount) >> 12
    return (torch.sign(x) * kept).to(torch.int32)


def _bias(population: Population, device: torch.device) -> torch.Tensor:
    neuron = neuron_of(population)
    bias = neuron.bias.astype(np.int32).reshape(population.shape) << neuron.bias_exponent
    return torch.from_numpy(_last(bias, population)).to(device)


def _last(array: npt.NDArray[Any], population: Population) -> npt.NDArray[Any]:
    """Values of a population with the channels last, where it has channels."""
    return np.ascontiguousarray(np.moveaxis(array, -3, -1) if len(population.shape) == 3 else array)


def _first(values: torch.Tensor, population: Population) -> npt.NDArray[Any]:
    """Values of a population with the channels first again."""
    array: npt.NDArray[Any] = values.cpu().numpy()
    return np.moveaxis(array, -1, -3) if len(population.shape) == 3 else array


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
