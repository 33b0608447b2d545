"""Which data set a file is of, by its contents: MNIST and those that took its place have files of the same names.

Checksums of what the files hold, unpacked, know a file however it was packed. Kuzushiji-MNIST's are known of its packed
files alone: one that was unpacked, or packed anew, is not recognised.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

__all__ = ["HELD", "PACKED", "data_set_of", "data_set_of_bytes"]

LARGEST = 2**26  # bytes that are read of a file to know it by; the largest that is known has 47,040,016
HELD = {  # sha256, unpacked: Fashion-MNIST's of Debian's dataset-fashion-mnist, MNIST's as many that fetch it give them
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db": "mnist",  # train, images
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5": "mnist",  # train, labels
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7": "mnist",  # t10k, images
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2": "mnist",  # t10k, labels
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888": "fashion-mnist",  # train, images
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9": "fashion-mnist",  # train, labels
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b": "fashion-mnist",  # t10k, images
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34": "fashion-mnist",  # t10k, labels
}
PACKED = {  # md5 of the .gz files as they are published, those by which torchvision checks its downloads
    "f68b3c2dcbeaaa9fbdd348bbdeb94873": "mnist",
    "d53e105ee54ea40749a09fcbcd1e9432": "mnist",
    "9fb629c4189551a2d022fa330f9573f3": "mnist",
    "ec29112dd5afa0611ce80d1b7f02629c": "mnist",
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d": "fashion-mnist",
    "25c81989df183df01b3e8a0aad5dffbe": "fashion-mnist",
    "bef4ecab320f06d8554ea6380940ec79": "fashion-mnist",
    "bb300cfdad3c16e7a12a480ee83cd310": "fashion-mnist",
    "bdb82020997e1d708af4cf47b453dcf7": "kmnist",
    "e144d726b3acfaa3e44228e80efcd344": "kmnist",
    "5c965bf0a639b31b8f53240b1b52f4d7": "kmnist",
    "7320c461ea6c1c855c0b718fb2a4b134": "kmnist",
}


def data_set_of(path: Path) -> str | None:
    """The data set that a file, packed or not, is known to be of; None where it is not known, or cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST)
        if path.suffix != ".gz":
            return data_set_of_bytes(data)
        if known := _packed(data):
            return known
        with gzip.open(path) as unpacked:
            return data_set_of_bytes(unpacked.read(LARGEST))
    except (OSError, EOFError, zlib.error):  # whoever reads it as data says why
        return None


def data_set_of_bytes(data: bytes) -> str | None:
    """The data set that the contents of a file, unpacked, are known to be of."""
    return HELD.get(hashlib.sha256(data).hexdigest())


def _packed(data: bytes) -> str | None:
    return PACKED.get(hashlib.md5(data, usedforsecurity=False).hexdigest())
