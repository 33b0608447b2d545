"""What is installed here, what works, and what to do where something does not."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kdsnn.run_folders import runs_root
from kdsnn.targets.registry import probe_all

__all__ = ["Finding", "diagnose"]

PACKAGES = ("kdsnn", "torch", "torchvision", "snntorch", "nir", "h5py", "numpy", "accelerate", "safetensors")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str
    hint: str = ""


def diagnose() -> list[Finding]:
    """Looks at versions, folders and targets. Never raises."""
    return [
        Finding("python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *_packages(),
        _runs_folder(),
        *(Finding(f"target {name}", a.available, a.detail, a.hint) for name, a in probe_all().items()),
    ]


def _packages() -> Iterator[Finding]:
    for package in PACKAGES:
        try:
            yield Finding(package, True, version(package))
        except PackageNotFoundError:
            yield Finding(package, False, "not installed", f"install {package}, or kdsnn anew")


def _runs_folder() -> Finding:
    root = runs_root()
    existing = next(p for p in (root, *root.absolute().parents) if Path(p).exists())
    writable = os.access(existing, os.W_OK)
    return Finding(
        "runs folder", writable, str(root), "" if writable else "set KDSNN_RUNS to a folder you may write to"
    )
