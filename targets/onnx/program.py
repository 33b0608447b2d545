"""A network in a session of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import TargetUnavailableError
from kdsnn.export.onnx.flavours import Flavour
from kdsnn.export.onnx.models import POTENTIALS, TALLIES, TRAIN, to_onnx
from kdsnn.export.onnx_runtime import onnx_runtime
from kdsnn.network import Network, neuron_of
from kdsnn.network.counters import Tally
from kdsnn.targets.batches import Activity, BatchProgram
from kdsnn.targets.onnx.target import PROVIDERS, OnnxTarget

__all__ = ["OnnxProgram", "session_of"]

STATE_BUDGET = 2**21  # neurons of the largest population, times images at once: what caches hold
MAX_BATCH = 256


class OnnxProgram(BatchProgram):
    """A network in a session of ONNX Runtime."""

    def __init__(self, network: Network, device: str, flavour: Flavour) -> None:
        neurons = max(p.neurons for p in network.populations)
        super().__init__(
            network,
            name=OnnxTarget.name,
            batch=max(1, min(MAX_BATCH, STATE_BUDGET // neurons)),
            versions=_versions(device, flavour),
        )
        self.device, self.flavour = device, flavour
        self.sessions: dict[tuple[str, ...], Any] = {}

    def simulate(self, images: npt.NDArray[np.uint8], recorded: Collection[str]) -> Iterator[Activity]:
        """What each population but the input does on a batch; see `BatchProgram.simulate`."""
        session = self._session(tuple(recorded))
        names = [output.name for output in session.get_outputs()]
        made = dict(zip(names, session.run(names, {"image": images}), strict=True))
        for population, counted in zip(self.network.spiking, made[TALLIES].tolist(), strict=True):
            train = made.get(TRAIN + population.name)
            read = None if neuron_of(population).fires else made[POTENTIALS].reshape(-1, *population.shape)
            yield Activity(population.name, Tally(*counted), None if train is None else train.swapaxes(0, 1), read)

    def _session(self, recorded: tuple[str, ...]) -> Any:
        if recorded not in self.sessions:
            model = to_onnx(self.network, flavour=self.flavour, tallies=True, trains=recorded)
            self.sessions[recorded] = session_of(model.SerializeToString(), self.device)
        return self.sessions[recorded]


def session_of(model: bytes, device: str) -> Any:
    """A session of ONNX Runtime.

    Raises:
        TargetUnavailableError: it does not take the model, or cannot be imported.
    """
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=[PROVIDERS[device]])
    except Exception as error:
        raise TargetUnavailableError(f"ONNX Runtime does not take the model: {str(error)[:300]}") from error


def _versions(device: str, flavour: str) -> dict[str, str]:
    import onnx

    return {"onnxruntime": onnx_runtime().__version__, "onnx": onnx.__version__, "device": device, "flavour": flavour}
