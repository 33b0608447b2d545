"""CIFAR-10: 60,000 photographs of ten classes."""

from __future__ import annotations

from pathlib import Path

from kdsnn.data import files
from kdsnn.data.datasets import Dataset, Split

__all__ = ["load"]

LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load(name: str, root: Path) -> Dataset:
    """The data set: from a folder in the binary format, or downloaded by torchvision."""
    for folder in (root / "cifar-10-batches-bin", root):
        if files.has_cifar_binary(folder):
            train, test = (Split(*files.read_cifar_binary(folder, which)) for which in ("train", "test"))
            return Dataset(name, train, test, LABELS)
    train, test = (Split(*files.read_cifar_torchvision(root, which)) for which in ("train", "test"))
    return Dataset(name, train, test, LABELS)
