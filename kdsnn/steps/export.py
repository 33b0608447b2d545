"""Bundles: what a target runs, written, read again and run before it counts as written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.display import Block, Displayed
from kdsnn.distill.teacher import load_teacher
from kdsnn.errors import InputError
from kdsnn.evaluation import evaluate
from kdsnn.evaluation.edges import edges_of, verdict
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.files.reading import read_json, reading
from kdsnn.files.writing import remove, write_json
from kdsnn.models.in_time import see_means
from kdsnn.run_folders import lock
from kdsnn.steps.images import select_images
from kdsnn.steps.models import MODEL_FILE, Model, ModelLike, load
from kdsnn.steps.targets import target_of
from kdsnn.steps.teacher import teacher_of
from kdsnn.targets.base import Files, Target, Teacher
from kdsnn.targets.fitting import ensure_fits

__all__ = ["MANIFEST", "Bundle", "export", "export_bundle"]

NIR = "nir"
VERIFIED_WITH = 4  # images
MANIFEST = "manifest.json"  # written last, and removed first: what it says is true of the files beside it


@dataclass(frozen=True)
class Bundle(Displayed):
    """The files that were written for a target.

    Attributes:
        folder: the folder that they lie in.
        manifest: the content of its `manifest.json`.
        edges: what was checked on the edges before: module to float network, float to integer network.
    """

    folder: Path
    manifest: Mapping[str, Any]
    edges: Mapping[str, str]

    def blocks(self) -> tuple[Block, ...]:
        """The files, and what was verified of them."""
        manifest = self.manifest
        lines = [str(self.folder / name) for name in (*manifest["files"], MANIFEST)]
        if verified := manifest["verified"]:
            equal = (
                f"{verified['images']} images, {verified['spikes']:,} spikes in "
                f"{len(verified['populations'])} populations and all counts equal the reference"
            )
            target = manifest["target"]
            lines.append(f"verified on {target}. {verdict(self.edges, target, equal)}")
        if teacher := manifest["teacher"]:
            agrees = f"the teacher's logits are torch's within {teacher['largest_difference']:.0e} of the largest"
            lines.append(f"no teacher.onnx: {teacher['left_out']}" if teacher["left_out"] else agrees)
        return ("\n".join(lines),)

    def as_json(self) -> dict[str, Any]:
        """The object of `kdsnn export --json`."""
        return {**self.manifest, "folder": str(self.folder)}


def export(
    model: ModelLike = None,
    target: str | Target = "nir",
    folder: str | Path | None = None,
    *,
    data: object = None,
    encode: str | None = None,
    data_range: tuple[float, float] | None = None,
    **options: object,
) -> Bundle:
    """Writes a bundle of files for a target, reads it again, runs it there and compares it with the reference.

    Only then does the bundle get its manifest.

    Args:
        model: see `kdsnn.load`.
        target: name of a target, or a target; `nir` writes the NIR file alone.
        folder: folder to write into, made if missing; None is `export/TARGET` beside the model.
        data: images of which the first four are run; None takes test images of the data that the model was trained on.
        encode: how still images are shown, one of `kdsnn list encoders`; None shows them as in training.
        data_range: the values in the data that become pixels of 0 and 255, where the data do not say it.
        options: options of a target that is given by name.

    Raises:
        DoesNotFitError: the network exceeds a limit of the target; nothing was touched.
        LockedError: another process writes into the folder.
        VerificationError: the files, read again, compute something else; there is no manifest.
        KdsnnError: the model, the data or the target cannot be used; there is no manifest.
    """
    opened = load(model)
    chosen = None if target == NIR else target_of(target, options)
    images = None if chosen is None else _some(opened, data, encode, data_range)
    name = chosen.name if chosen else NIR
    to = Path(folder) if folder is not None else (opened.run or opened.path.parent) / "export" / name
    return Bundle(to, export_bundle(opened, chosen, to, images), edges_of(opened.network))


def _some(
    model: Model, data: object, encode: str | None, data_range: tuple[float, float] | None
) -> npt.NDArray[np.uint8]:
    """The few images that a bundle is verified with."""
    return select_images(model, images=data, samples=VERIFIED_WITH, encode=encode, data_range=data_range).images


def export_bundle(
    model: Model, target: Target | None, folder: Path, images: npt.NDArray[np.uint8] | None
) -> dict[str, Any]:
    """Writes a bundle for a target, reads it again and runs it, and only then calls it written.

    Args:
        model: what to export.
        target: where it shall run; None writes the NIR file alone.
        folder: made if missing.
        images: to run on the target and compare with the reference; needed where there is a target.

    Returns:
        The manifest, as in `manifest.json`.

    Raises:
        DoesNotFitError: and nothing was touched.
        LockedError: another process writes there.
        InputError, TargetUnavailableError, VerificationError: and there is no manifest, whatever was there before.
    """
    network = model.network
    if target is not None:
        ensure_fits(target, network)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} exists and is not a folder")
    with lock(folder):
        _clear(folder)
        path = folder / MODEL_FILE
        write_nir(network, path)
        beside = Files()
        verified: Mapping[str, Any] | None = None
        if target is not None and images is not None:
            beside = target.write_files(network, images, folder, _teacher(model))
            result = evaluate(read_nir(path), target, images)
            verified = {"images": result.samples, "populations": list(result.compared), **result.counts.totals()}
        manifest = {
            "schema": "kdsnn.bundle/1",
            "target": target.name if target else "nir",
            "name": network.name,
            "fingerprint": network.fingerprint(),
            "timesteps": network.timesteps,
            "files": {str(f.relative_to(folder)): _sha256(f) for f in (path, *beside.paths)},
            "verified": verified,
            "teacher": None,
            **beside.notes,
            "provenance": dict(network.provenance),
        }
        write_json(folder / MANIFEST, manifest)
    return manifest


def _clear(folder: Path) -> None:
    """Removes an earlier bundle: its manifest first, then the files that it names, where they are what it says."""
    path = folder / MANIFEST
    try:
        named = read_json(path).get("files") if path.is_file() else None
    except InputError:
        named = None
    remove(path)
    for name, sha256 in named.items() if isinstance(named, dict) else ():
        file = folder / name
        inside = file.resolve().is_relative_to(folder.resolve())  # a manifest may be anybody's
        if inside and file.is_file() and _sha256(file) == sha256:
            remove(file)


def _sha256(path: Path) -> str:
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _teacher(model: Model) -> Teacher | None:
    """The teacher of the model's run, if it has one."""
    if model.run is None or not (model.run / "teacher.json").is_file():
        return None
    run = model.run
    shape = model.network.image_shape  # of encoded images, too, it sees the mean of the frames
    return Teacher(str((teacher_of(run) or {}).get("model", "ANN")), lambda: see_means(load_teacher(run), shape))
