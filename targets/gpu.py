"""The torch target: the same integers on CUDA or on the CPU, exactly. `sums.py` says how.

Images lie as `(B, H, W, C)` inside, spikes as one byte each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kdsnn import counters
from kdsnn.errors import TargetUnavailableError, UsageError
from kdsnn.network import DECAY_UNITY, MEMBRANE_SHIFT, Network, Neuron, Population, neuron_of
from kdsnn.targets.base import Availability, Progress, Record, RunResult, Violation, overflow_violations
from kdsnn.targets.batches import Activity, recorded, run_in_batches
from kdsnn.targets.sums import Arithmetic, int8_is_exact, sums_of, unfolded

__all__ = ["GpuProgram", "GpuTarget"]

UNFOLD_BUDGET = 2**26  # bytes of the largest matrix of windows
STATE_BUDGET = 2**20  # neurons of the largest population, times images at once: what caches hold
LARGEST_BYTE = 255
ARITHMETIC = ("auto", "int8", "float32")


class GpuTarget:
    """torch, exact, on CUDA where there is one.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        arithmetic: of the products: `int8`, `float32`, or `auto`: int8 on a CPU that computes it exactly.

    Raises:
        UsageError: there is no such arithmetic, or this machine does not compute it exactly.
    """

    name = "gpu"
    description = "torch, exact int8 or float32 products, on CUDA or the CPU"

    def __init__(self, device: str = "auto", arithmetic: str = "auto") -> None:
        self._asked = (device, arithmetic)
        has_cuda = torch.cuda.is_available()
        self.device = ("cuda" if has_cuda else "cpu") if device == "auto" else device
        if arithmetic not in ARITHMETIC:
            raise UsageError(
                f"the gpu target has no arithmetic {arithmetic!r}", hint=f"it has: {', '.join(ARITHMETIC)}"
            )
        trusted = self.device == "cpu" and int8_is_exact()
        if arithmetic == "int8" and not trusted:
            raise UsageError(f"int8 products are not known to be exact on {self.device!r}", hint="use float32")
        self.int8 = trusted and arithmetic != "float32"

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process, perhaps on another machine, device and arithmetic are chosen anew."""
        return GpuTarget, self._asked

    def probe(self) -> Availability:
        """Whether torch has the device."""
        try:
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            return Availability(False, f"no device {self.device!r}: {reason}", "run on the CPU with --device cpu")
        name = torch.cuda.get_device_name(self.device) if self.device.startswith("cuda") else "CPU"
        return Availability(True, f"torch {torch.__version__} on {name}")

    def check(self, network: Network) -> list[Violation]:
        """Populations that could leave the range of the hardware's state."""
        return overflow_violations(network)

    def compile(self, network: Network) -> GpuProgram:
        """The network with its weights on the device."""
        return GpuProgram(network, Arithmetic(torch.device(self.device), self.int8))


class GpuProgram:
    """A network on a torch device."""

    def __init__(self, network: Network, arithmetic: Arithmetic) -> None:
        self.network = network
        self.device = arithmetic.device
        self.products = "int8" if arithmetic.int8 else "float32"
        shapes = {p.name: p.shape for p in network.populations}
        bits = {network.input.name: network.input_bits}
        self.sums = {
            p.name: sums_of(p, shapes[p.source], bits.get(p.source, 1), arithmetic) for p in network.projections
        }
        self.biases = {p.name: _bias(p, self.device) for p in network.spiking}
        largest = max(unfolded(p, shapes[p.source]) for p in network.projections)
        bytes_each = largest * network.timesteps * (1 if arithmetic.int8 else 4)
        neurons = max(p.neurons for p in network.spiking)
        self.batch = max(1, min(STATE_BUDGET // neurons, UNFOLD_BUDGET // bytes_each))

    def run(
        self,
        images: npt.NDArray[np.uint8],
        *,
        record: Record = "output",
        time_limit_s: float | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """See `kdsnn.targets.base.Program.run`."""
        names = recorded(self.network, record)

        def simulated(batch: npt.NDArray[np.uint8]) -> Iterator[Activity]:
            for population, train, v in self._simulate(counters.input_messages(self.network, batch)):
                emitted = _first(_counted(train), population)
                keep, read = population.name in names, not neuron_of(population).fires
                trains = _first(train.transpose(0, 1).view(torch.uint8), population) if keep else None
                yield Activity(population.name, emitted, trains, _first(v, population) if read else None)

        return run_in_batches(
            self.network,
            images,
            simulated,
            target="gpu",
            batch=self.batch,
            versions={"torch": torch.__version__, "device": str(self.device), "products": self.products},
            time_limit_s=time_limit_s,
            progress=progress,
        )

    def _simulate(self, messages: npt.NDArray[np.uint8]) -> Iterator[tuple[Population, torch.Tensor, torch.Tensor]]:
        """Each population, its spikes `(T, B, *shape)` (bool), and its potential at the end, one after the other."""
        network, steps = self.network, self.network.timesteps
        image = torch.from_numpy(_last(messages, network.input)).to(self.device)
        sent: dict[str, torch.Tensor] = {}
        with _exact(), torch.inference_mode():
            for population in network.spiking:
                drive: torch.Tensor | None = None
                for projection in network.incoming(population.name):
                    if projection.source == network.input.name:  # the same image at every step: once is enough
                        part = self.sums[projection.name](image).unsqueeze(0)
                    else:
                        part = self.sums[projection.name](sent[projection.source].flatten(0, 1))
                        part = part.reshape(steps, len(image), *part.shape[1:])
                    drive = part if drive is None else drive + part
                assert drive is not None  # noqa: S101  every population has a projection
                train, v = _integrate(neuron_of(population), drive, self.biases[population.name], steps)
                sent[population.name] = train
                yield population, train, v


def _integrate(
    neuron: Neuron, drive: torch.Tensor, bias: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes `(T, B, *shape)` and last potential of a population from its synaptic input `(T or 1, B, *shape)`."""
    threshold = int(neuron.threshold) << MEMBRANE_SHIFT
    trains = torch.empty((steps, *drive.shape[1:]), dtype=torch.bool, device=drive.device)
    u, v = torch.zeros_like(drive[0]), torch.zeros_like(drive[0])
    if neuron.decay_u == DECAY_UNITY:
        drive += bias
    for step, fired in enumerate(trains):
        entering = drive[min(step, len(drive) - 1)]
        if neuron.decay_u != DECAY_UNITY:
            u = _decay(u, int(neuron.decay_u)) + entering
            entering = u + bias
        v = _decay(v, int(neuron.decay_v)).add_(entering)
        torch.gt(v, threshold, out=fired)
        v.mul_(~fired)  # thirty times as quick as masked_fill_ on a CPU
    return trains, v


def _counted(train: torch.Tensor) -> torch.Tensor:
    """Spikes of each neuron over all steps and images, int64; added up as bytes, which is many times as quick."""
    parts = torch.split(train.view(torch.uint8).flatten(0, 1), LARGEST_BYTE)
    return torch.stack([part.sum(dim=0, dtype=torch.uint8) for part in parts]).sum(dim=0, dtype=torch.int64)


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
