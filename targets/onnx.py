"""The ONNX target: the network as an ONNX model, run by ONNX Runtime on the CPU or on CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from kdsnn.errors import TargetUnavailableError, UsageError, VerificationError
from kdsnn.export.onnx import EMITTED, POTENTIALS, TRAIN, Flavour, step_model, to_onnx
from kdsnn.network import Network, neuron_of
from kdsnn.targets.base import Availability, Progress, Record, RunResult, Violation, overflow_violations
from kdsnn.targets.batches import Activity, recorded, run_in_batches
from kdsnn.targets.reference import simulate

__all__ = ["OnnxProgram", "OnnxTarget"]

STATE_BUDGET = 2**21  # neurons of the largest population, times images at once: what caches hold
MAX_BATCH = 256


class OnnxTarget:
    """ONNX Runtime.

    Args:
        device: `cpu` or `cuda` (which takes the package onnxruntime-gpu).
        flavour: `float32` or `int8`; both are exact on the CPU. CUDA takes `int8` only where it has the kernels.
    """

    name = "onnx"
    description = "ONNX Runtime, exact float32 or int8 arithmetic"

    def __init__(self, device: str = "cpu", flavour: str = "float32") -> None:
        if device not in PROVIDERS:
            raise UsageError(f"the onnx target has no device {device!r}", hint=f"devices are: {', '.join(PROVIDERS)}")
        if flavour not in get_args(Flavour):
            raise UsageError(
                f"the onnx target has no flavour {flavour!r}", hint=f"flavours are: {', '.join(get_args(Flavour))}"
            )
        self.device = device
        self.flavour: Flavour = "int8" if flavour == "int8" else "float32"

    def probe(self) -> Availability:
        """Whether ONNX Runtime is installed, with the device."""
        try:
            import onnxruntime
        except ImportError as error:
            return Availability(False, f"onnxruntime cannot be imported: {error}", "install it: uv add onnxruntime")
        if PROVIDERS[self.device] not in onnxruntime.get_available_providers():
            return Availability(False, f"ONNX Runtime has no {self.device} here", "install onnxruntime-gpu")
        return Availability(True, f"onnxruntime {onnxruntime.__version__} on {self.device}, {self.flavour}")

    def check(self, network: Network) -> list[Violation]:
        """Populations that could leave the range of the hardware's state."""
        return overflow_violations(network)

    def compile(self, network: Network) -> OnnxProgram:
        """The network as a session of ONNX Runtime."""
        return OnnxProgram(network, self.device, self.flavour)

    def bundle(self, network: Network, images: npt.NDArray[np.uint8], folder: Path) -> list[Path]:
        """Writes `model.onnx` and `step.onnx`, reads them again and compares what they compute with the reference."""
        files = [folder / "model.onnx", folder / "step.onnx"]
        models = (to_onnx(network, flavour=self.flavour), step_model(network, flavour=self.flavour))
        for path, model in zip(files, models, strict=True):
            path.write_bytes(model.SerializeToString())
        trains, potentials = simulate(network, images)
        wanted = trains[network.output.name].sum(axis=1, dtype=np.int64).reshape(len(images), -1)
        whole, step = (_session(path.read_bytes(), self.device) for path in files)
        counts, layers, *read = whole.run(None, {"image": images})
        by_layer = [train.reshape(len(images), -1).sum(axis=1, dtype=np.int64) for train in trains.values()]
        if (counts != wanted).any() or (layers != np.stack(by_layer, axis=1)).any():
            raise VerificationError("model.onnx does not count the reference's spikes")
        total, state = _by_steps(step, images, network.timesteps)
        if (total != wanted).any():
            raise VerificationError("step.onnx does not count the reference's spikes")
        if network.readout == "membrane":
            for name, found in (("model.onnx", read[0]), ("step.onnx", state[f"v.{network.output.name}"])):
                if (found.reshape(potentials.shape) != potentials).any():
                    raise VerificationError(f"{name} does not read the reference's potentials")
        return files


class OnnxProgram:
    """A network in a session of ONNX Runtime."""

    def __init__(self, network: Network, device: str, flavour: Flavour) -> None:
        self.network = network
        self.device, self.flavour = device, flavour
        self.sessions: dict[Record, Any] = {}
        neurons = max(p.neurons for p in network.populations)
        self.batch = max(1, min(MAX_BATCH, STATE_BUDGET // neurons))

    def run(
        self,
        images: npt.NDArray[np.uint8],
        *,
        record: Record = "output",
        time_limit_s: float | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """See `kdsnn.targets.base.Program.run`."""
        session = self._session(record)
        names = [output.name for output in session.get_outputs()]

        def simulated(batch: npt.NDArray[np.uint8]) -> Iterator[Activity]:
            made = dict(zip(names, session.run(names, {"image": batch}), strict=True))
            for population in self.network.spiking:
                train = made.get(TRAIN + population.name)
                read = None if neuron_of(population).fires else made[POTENTIALS].reshape(-1, *population.shape)
                emitted = made[EMITTED + population.name]
                yield Activity(population.name, emitted, None if train is None else train.swapaxes(0, 1), read)

        return run_in_batches(
            self.network,
            images,
            simulated,
            target="onnx",
            batch=self.batch,
            versions=_versions(self.device, self.flavour),
            time_limit_s=time_limit_s,
            progress=progress,
        )

    def _session(self, record: Record) -> Any:
        if record not in self.sessions:
            trains = recorded(self.network, record)
            model = to_onnx(self.network, flavour=self.flavour, emitted=True, trains=trains)
            self.sessions[record] = _session(model.SerializeToString(), self.device)
        return self.sessions[record]


PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def _session(model: bytes, device: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=[PROVIDERS[device]])
    except Exception as error:
        raise TargetUnavailableError(f"ONNX Runtime does not take the model: {str(error)[:300]}") from error


def _by_steps(
    session: Any, images: npt.NDArray[np.uint8], timesteps: int
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
    """Output spikes over T, and the last state, from the one-step model."""
    types = {"tensor(float)": np.float32, "tensor(int32)": np.int32}
    states = session.get_inputs()[1:]
    state = {s.name: np.zeros((len(images), *s.shape[1:]), types[s.type]) for s in states}
    names = ["spikes", *(f"{s.name}.next" for s in states)]
    total: npt.NDArray[np.int64] = np.zeros((len(images), session.get_outputs()[0].shape[1]), np.int64)
    for _ in range(timesteps):
        spikes, *after = session.run(names, {"image": images, **state})
        total += spikes
        state = dict(zip(state, after, strict=True))
    return total, state


def _versions(device: str, flavour: str) -> dict[str, str]:
    import onnx
    import onnxruntime

    return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__, "device": device, "flavour": flavour}
