"""The integer network that a command works on: a run's, or that of a NIR file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kdsnn.display import Block, Displayed, Table
from kdsnn.errors import InputError
from kdsnn.evaluation.edges import edges_of, in_words
from kdsnn.export.nir import read_nir
from kdsnn.network import Network
from kdsnn.run_folders import find_run

__all__ = ["MODEL_FILE", "HasModel", "Model", "ModelLike", "load"]

MODEL_FILE = "model.nir"


@dataclass(frozen=True)
class Model(Displayed):
    """An integer network, and the run it came from, if any.

    Attributes:
        network: that every target runs.
        path: path of its file, or where that would be.
        run: the run folder; None for a network that belongs to no run.
    """

    network: Network
    path: Path
    run: Path | None

    def blocks(self) -> tuple[Block, ...]:
        """Its layers, and what is known of the edges on its way."""
        network = self.network
        table = Table(
            f"{network.name}, T = {network.timesteps}, fingerprint {network.fingerprint()[:12]}",
            ("layer", "shape", "neurons"),
            [(p.name, "x".join(map(str, p.shape)), p.neurons) for p in network.populations],
        )
        return table, in_words(edges_of(network))


class HasModel(Protocol):
    """A result that holds a model, such as that of `kdsnn.quantize`."""

    @property
    def model(self) -> Model:
        """The integer network that it made."""


ModelLike = Model | HasModel | str | Path | None  # a model, what holds one, a run, a NIR file; None is the latest run


def load(model: ModelLike = None) -> Model:
    """The integer network of a run, or of a NIR file that kdsnn wrote.

    Args:
        model: path of a `.nir` file, path or name of a run, or what another step returned; None is the latest run.

    Raises:
        InputError: there is no such network, or it is not readable.
    """
    if isinstance(model, Model):
        return model
    if not isinstance(model, str | Path | None):
        return model.model
    if model is not None and str(model).endswith(".nir"):
        path = Path(model)
        return Model(read_nir(path), path, None)
    run = find_run(None if model is None else str(model))
    path = run / MODEL_FILE
    if not path.is_file():
        raise InputError(f"run {run} has no integer network yet", hint=f"make it with: kdsnn quantize {run}")
    return Model(read_nir(path), path, run)
