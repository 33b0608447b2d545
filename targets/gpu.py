"""The torch target: the same integers on CUDA or on the CPU, exactly.

Convolutions run as a matrix product on unfolded images, in float32: products and sums are integers below 2**24, which
float32 holds exactly in any order of summation. A library convolution would be free to choose Winograd or FFT
algorithms, whose intermediate values are fractions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from kdsnn import counters
from kdsnn.errors import TargetUnavailableError
from kdsnn.network import DECAY_UNITY, MEMBRANE_SHIFT, Conv2d, Dense, Network, Neuron, Population, neuron_of
from kdsnn.targets.base import Availability, Progress, Record, RunResult, Violation, overflow_violations
from kdsnn.targets.batches import Activity, recorded, run_in_batches

__all__ = ["GpuProgram", "GpuTarget"]

UNFOLD_BUDGET = 2**26  # elements of the largest unfolded batch: 256 MB in float32
MAX_BATCH = 256


class GpuTarget:
    """torch, exact, on CUDA where there is one.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
    """

    name = "gpu"
    description = "torch, exact float32 integers, on CUDA or the CPU"

    def __init__(self, device: str = "auto") -> None:
        has_cuda = torch.cuda.is_available()
        self.device = ("cuda" if has_cuda else "cpu") if device == "auto" else device

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
        return GpuProgram(network, torch.device(self.device))


class GpuProgram:
    """A network on a torch device."""

    def __init__(self, network: Network, device: torch.device) -> None:
        self.network = network
        self.device = device
        self.weights = {p.name: _weight(p.op, p.exponent, device) for p in network.projections}
        self.biases = {p.name: _bias(p, device) for p in network.spiking}
        largest = max((_unfolded(p.op, network.population(p.source).shape) for p in network.projections), default=1)
        self.batch = max(1, min(MAX_BATCH, UNFOLD_BUDGET // (largest * network.timesteps)))

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
                emitted = train.sum(dim=(0, 1), dtype=torch.int64).cpu().numpy()
                kept = train.transpose(0, 1).to(torch.uint8).cpu().numpy() if population.name in names else None
                read = None if neuron_of(population).fires else v.cpu().numpy()
                yield Activity(population.name, emitted, kept, read)

        return run_in_batches(
            self.network,
            images,
            simulated,
            target="gpu",
            batch=self.batch,
            versions={"torch": torch.__version__, "device": str(self.device)},
            time_limit_s=time_limit_s,
            progress=progress,
        )

    def _simulate(self, messages: npt.NDArray[np.uint8]) -> Iterator[tuple[Population, torch.Tensor, torch.Tensor]]:
        """Each population, its spikes `(T, B, *shape)` (bool), and its potential at the end, one after the other."""
        network, steps = self.network, self.network.timesteps
        image = torch.from_numpy(messages).to(self.device, torch.float32)
        sent: dict[str, torch.Tensor] = {}
        with _exact(), torch.inference_mode():
            for population in network.spiking:
                drive: torch.Tensor | float = 0.0
                for projection in network.incoming(population.name):
                    weight = self.weights[projection.name]
                    if projection.source == network.input.name:  # the same image at every step: once is enough
                        part = _apply(projection.op, weight, image).unsqueeze(0)
                    else:
                        trains = sent[projection.source]
                        part = _apply(projection.op, weight, trains.flatten(0, 1).float())
                        part = part.reshape(steps, len(image), *part.shape[1:])
                    drive = drive + part
                assert isinstance(drive, torch.Tensor)  # noqa: S101  every population has a projection
                train, v = _integrate(neuron_of(population), drive, self.biases[population.name], steps)
                sent[population.name] = train
                yield population, train, v


def _integrate(
    neuron: Neuron, drive: torch.Tensor, bias: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes `(T, B, *shape)` and last potential of a population from its synaptic input `(T or 1, B, *shape)`."""
    drive = drive.to(torch.int32) << MEMBRANE_SHIFT
    threshold = int(neuron.threshold) << MEMBRANE_SHIFT
    u = torch.zeros_like(drive[0])
    v = torch.zeros_like(drive[0])
    trains = []
    for t in range(steps):
        u = _decay(u, int(neuron.decay_u)) + drive[min(t, len(drive) - 1)]
        v = _decay(v, int(neuron.decay_v)) + u + bias
        fired = v > threshold
        v = v.masked_fill(fired, 0)
        trains.append(fired)
    return torch.stack(trains), v


def _decay(x: torch.Tensor, amount: int) -> torch.Tensor:
    if amount == 0:
        return x
    if amount == DECAY_UNITY:
        return torch.zeros_like(x)
    kept = x.abs().to(torch.int64) * (DECAY_UNITY - amount) >> 12
    return (torch.sign(x) * kept).to(torch.int32)


def _apply(op: Conv2d | Dense, weight: torch.Tensor, messages: torch.Tensor) -> torch.Tensor:
    """The sums of `(B, *source shape)`, exact in float32."""
    if isinstance(op, Dense):
        return messages.flatten(1) @ weight.T
    batch, shape = len(messages), op.output_shape(tuple(messages.shape[1:]))
    columns = F.unfold(messages, op.weight.shape[2:], dilation=op.dilation, padding=op.padding, stride=op.stride)
    columns = columns.reshape(batch, op.groups, weight.shape[2], -1)  # (B, groups, C_in / groups * kernel, H * W)
    return torch.matmul(weight, columns).reshape(batch, *shape)


def _weight(op: Conv2d | Dense, exponent: int, device: torch.device) -> torch.Tensor:
    values = np.ldexp(op.weight.astype(np.float32), exponent)
    if isinstance(op, Conv2d):  # (groups, C_out / groups, C_in / groups * kernel)
        values = values.reshape(op.groups, op.weight.shape[0] // op.groups, -1)
    return torch.from_numpy(values).to(device)


def _bias(population: Population, device: torch.device) -> torch.Tensor:
    neuron = neuron_of(population)
    bias = neuron.bias.astype(np.int32).reshape(population.shape) << neuron.bias_exponent
    return torch.from_numpy(bias).to(device)


def _unfolded(op: Conv2d | Dense, source: tuple[int, ...]) -> int:
    """Elements that one message of this source is unfolded to."""
    if isinstance(op, Dense):
        return int(op.weight.shape[1])
    _, height, width = op.output_shape(source)
    return int(source[0] * np.prod(op.weight.shape[2:]) * height * width)


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
