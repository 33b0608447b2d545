"""The steps of the road as functions: what the commands of the command line call, and what Python code can call too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.data.datasets import load_dataset
from kdsnn.energy.estimate import EnergyReport, estimate, load_energy_model
from kdsnn.errors import DoesNotFitError, InputError
from kdsnn.evaluation import Evaluation, evaluate
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.jobs.local_processes import Pool
from kdsnn.network import Network, Projection, neuron_of
from kdsnn.network.counters import fan_out, kind_of
from kdsnn.network.overflow import overflows
from kdsnn.run_folders import find_run, read_json, write_json
from kdsnn.targets.base import Progress, Target

__all__ = [
    "MODEL_FILE",
    "Model",
    "energy_of",
    "evaluate_model",
    "export_bundle",
    "open_model",
    "plan",
    "select_images",
]

MODEL_FILE = "model.nir"
SAMPLE_SEED = 0  # which test images a smaller sample takes
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


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


def select_images(
    model: Model,
    *,
    dataset: str | None = None,
    images: Path | None = None,
    samples: int | None = None,
) -> tuple[Images, Labels | None]:
    """The images to evaluate on, and their labels where they have any.

    Args:
        model: what will see them; its run says which data set it was trained on.
        dataset: take the test split of this one.
        images: an `.npz` file with `x` `(N, C, H, W)` uint8 and perhaps `y` `(N,)`.
        samples: at most so many: the first of the file, or a fixed random sample of the data set.
    """
    if images is not None:
        x, y = _read_images(images)
        return (x[:samples], None if y is None else y[:samples])
    name = dataset or model.network.provenance.get("dataset")
    if name is None:
        raise InputError(f"{model.path} does not say what it was trained on", hint="name one: --dataset or --images")
    split = load_dataset(name).test
    if samples is None or samples >= len(split.images):
        return split.images, split.labels
    chosen = np.random.default_rng(SAMPLE_SEED).permutation(len(split.images))[:samples]
    return split.images[chosen], split.labels[chosen]


def evaluate_model(
    model: Model,
    target: Target,
    images: Images,
    labels: Labels | None,
    *,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    pool: Pool | None = None,
) -> Evaluation:
    """Evaluates a model on a target, compared with the reference; a run keeps it as `evaluation-TARGET.json`."""
    result = evaluate(model.network, target, images, labels, time_limit_s=time_limit_s, progress=progress, pool=pool)
    if model.run is not None:
        write_json(model.run / f"evaluation-{target.name}.json", result.as_json())
    return result


def energy_of(model: Model, evaluation: Evaluation, energy_model: str) -> EnergyReport:
    """The energy that an energy model gives for what was counted, beside the teacher's where it is known."""
    teacher = model.run / "teacher.json" if model.run else None
    macs = int(read_json(teacher)["macs"]) if teacher and teacher.is_file() else None
    return estimate(load_energy_model(energy_model), evaluation.counts, teacher_macs=macs)


def plan(network: Network) -> list[dict[str, Any]]:
    """A row a layer: what it needs of the hardware."""
    problems = overflows(network)
    rows = []
    for population in network.spiking:
        projections = network.incoming(population.name)
        neuron = neuron_of(population)
        rows.append(
            {
                "name": population.name,
                "kind": kind_of(projections),
                "shape": list(population.shape),
                "neurons": population.neurons,
                "synapses": sum(_synapses(network, p) for p in projections),
                "threshold": int(neuron.threshold) if neuron.fires else None,
                "largest_weight": max(int(np.abs(p.op.weight).max(initial=0)) for p in projections),
                "depth": network.depths[population.name],
                "relay": population.relay,
                "overflow": problems.get(population.name),
            }
        )
    return rows


def export_bundle(model: Model, target: Target | None, folder: Path, images: Images | None) -> dict[str, Any]:
    """Writes a bundle for a target, reads it again and runs it, and only then calls it written.

    Args:
        model: what to export.
        target: where it shall run; None writes the NIR file alone.
        folder: made if missing.
        images: to run on the target and compare with the reference; needed where there is a target.

    Returns:
        The manifest, as in `manifest.json`.

    Raises:
        DoesNotFitError, TargetUnavailableError, VerificationError: and no manifest is written.
    """
    network = model.network
    if target is not None and (violations := target.check(network)):
        raise DoesNotFitError(
            f"network {network.name!r} does not fit target {target.name!r}", problems=[str(v) for v in violations]
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} exists and is not a folder")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MODEL_FILE
    write_nir(network, path)
    files = [path]
    verified: Mapping[str, Any] | None = None
    if target is not None and images is not None:
        bundle = getattr(target, "bundle", None)  # what a target needs beside the NIR file, if anything
        if bundle is not None:
            files += bundle(network, images, folder)
        result = evaluate(read_nir(path), target, images)
        verified = {"images": result.samples, "populations": list(result.compared), **result.counts.totals()}
    teacher = None
    if target is not None and target.name == "onnx" and model.run is not None and images is not None:
        from kdsnn.distill.teacher_onnx import TEACHER_FILE, write_teacher

        teacher = write_teacher(model.run, network, images, folder)
        files += [folder / TEACHER_FILE] if teacher is not None and not teacher.left_out else []
    manifest = {
        "schema": "kdsnn.bundle/1",
        "target": target.name if target else "nir",
        "name": network.name,
        "fingerprint": network.fingerprint(),
        "timesteps": network.timesteps,
        "files": {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files},
        "verified": verified,
        "teacher": None if teacher is None else asdict(teacher),
        "provenance": dict(network.provenance),
    }
    write_json(folder / "manifest.json", manifest)
    return manifest


def _synapses(network: Network, projection: Projection) -> int:
    return int(fan_out(projection, network.population(projection.source).shape).sum())


def _read_images(path: Path) -> tuple[Images, Labels | None]:
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        with np.load(path, allow_pickle=False) as data:
            x = data["x"]
            y = data.get("y")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is not an .npz file with an array 'x': {error}", hint="write one with numpy.savez(path, x=x, y=y)"
        ) from error
    return x, y
