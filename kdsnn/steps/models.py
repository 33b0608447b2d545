"""The integer network that a command works on: a run's, or that of a NIR file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdsnn.errors import InputError
from kdsnn.export.nir import read_nir
from kdsnn.network import Network
from kdsnn.run_folders import find_run

__all__ = ["MODEL_FILE", "Model", "open_model"]

MODEL_FILE = "model.nir"


@dataclass(frozen=True)
class Model:
    """An integer network, and the run it came from, if any."""

    network: Network
    path: Path
    run: Path | None


def open_model(model: str | None) -> Model:
    """The integer network of a run, or of a NIR file that kdsnn wrote.

    Args:
        model: path of a `.nir` file, or path or name of a run; None is the latest run.

    Raises:
        InputError: there is none, or it is not readable.
    """
    if model is not None and model.endswith(".nir"):
        path = Path(model)
        return Model(read_nir(path), path, None)
    run = find_run(model)
    path = run / MODEL_FILE
    if not path.is_file():
        raise InputError(f"run {run} has no integer network yet", hint=f"make it with: kdsnn quantize {run}")
    return Model(read_nir(path), path, run)
