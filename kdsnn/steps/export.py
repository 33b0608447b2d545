"""Bundles: what a target runs, written, read again and run before it counts as written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.distill.teacher import load_teacher
from kdsnn.errors import InputError
from kdsnn.evaluation import evaluate
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.run_folders import lock, read_json, remove, write_json
from kdsnn.steps.models import MODEL_FILE, Model
from kdsnn.targets.base import Files, Target, Teacher
from kdsnn.targets.fitting import ensure_fits

__all__ = ["MANIFEST", "export_bundle"]

MANIFEST = "manifest.json"  # written last, and removed first: what it says is true of the files beside it


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
            "files": {
                str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in (path, *beside.paths)
            },
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
        if inside and file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256:
            remove(file)


def _teacher(model: Model) -> Teacher | None:
    """The teacher of the model's run, if it has one."""
    if model.run is None or not (model.run / "teacher.json").is_file():
        return None
    run = model.run
    return Teacher(str(read_json(run / "teacher.json")["model"]), lambda: load_teacher(run))
