"""Bundles: what a target runs, written, read again and run before it counts as written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import DoesNotFitError, InputError
from kdsnn.evaluation import evaluate
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.run_folders import write_json
from kdsnn.steps.models import MODEL_FILE, Model
from kdsnn.targets.base import Target

__all__ = ["export_bundle"]


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
