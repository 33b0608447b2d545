"""What is installed here, what works, and what to do where something does not."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from kdsnn.errors import install_command
from kdsnn.extras import OPTIONAL
from kdsnn.run_folders import runs_root
from kdsnn.targets.registry import probe_all

__all__ = ["Finding", "diagnose"]

PACKAGES = ("kdsnn", "torch", "torchvision", "snntorch", "nir", "h5py", "numpy", "accelerate", "safetensors")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        ok: whether it is there and works.
        needed: by kdsnn itself; extras and targets are for who wants them.
    """

    what: str
    ok: bool
    detail: str
    hint: str = ""
    needed: bool = True


def diagnose() -> list[Finding]:
    """Looks at versions, folders and targets. Never raises."""
    return [
        Finding("python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *_packages(),
        *_extras(),
        _runs_folder(),
        *(Finding(f"target {name}", a.available, a.detail, a.hint, needed=False) for name, a in probe_all().items()),
    ]


def _packages() -> Iterator[Finding]:
    for package in PACKAGES:
        try:
            yield Finding(package, True, version(package))
        except PackageNotFoundError:
            yield Finding(package, False, "not installed", f"install {package}, or kdsnn anew")


def _extras() -> Iterator[Finding]:
    for extra in sorted({extra for extra, _ in OPTIONAL.values()}):
        packages = [package for package, (of, _) in OPTIONAL.items() if of == extra]
        left_out = [package for package in packages if find_spec(package) is None]
        detail = f"without {', '.join(left_out)}" if left_out else ", ".join(packages)
        hint = install_command(extra) if left_out else ""
        yield Finding(f"extra {extra}", not left_out, detail, hint, needed=False)


def _runs_folder() -> Finding:
    root = runs_root()
    existing = next(p for p in (root, *root.absolute().parents) if Path(p).exists())
    writable = os.access(existing, os.W_OK)
    return Finding(
        "runs folder", writable, str(root), "" if writable else "set KDSNN_RUNS to a folder you may write to"
    )
