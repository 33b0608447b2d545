"""A folder of images: PNG and JPEG, in a folder for each class, or without classes where no labels are needed.

    photos/cat/1.png  photos/dog/7.jpg                 split by kdsnn
    photos/train/cat/1.png  photos/test/cat/9.png      split by hand; val/ is taken where there is no test/

What begins with a dot is left out, and so is every file that is no image. Classes and images are in the order of their
names. All images have one size and one mode: grey, or red, green and blue.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.data.sources.source import Part, Source
from kdsnn.errors import InputError
from kdsnn.files.reading import check_unpacked

__all__ = ["IMAGES", "of_folder", "stamp_of"]

IMAGES = (".png", ".jpg", ".jpeg")
OTHER_IMAGES = (".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}  # what becomes of each
TEST = ("test", "val", "valid", "validation")
AT_ONCE = 256  # images
DEPTH = 2  # of the folders in a folder of images: train/cat
MOST = 8  # problems that are told
MOST_PIXELS = 2**24  # of an image: no network takes more, and a small file can declare them


def of_folder(path: Path) -> Part:
    """What a folder of images holds.

    Raises:
        InputError: there are no images, or what lies there is not as it should be.
    """
    folders, files = _content(path)
    names = [folder.name for folder in folders]
    test = next((name for name in TEST if name in names), None)
    if "train" in names and test is not None and set(names) <= {"train", *TEST}:
        return _both(path / "train", path / test)
    if folders and files:
        raise InputError(f"{path} holds images beside the folders of classes", problems=_told(files))
    if not folders:
        return _source(path, [(file, 0) for file in files], None)
    return _of_classes(path, names)


def stamp_of(path: Path) -> str:
    """Tells whether a file, or anything in a folder, was changed: of names, sizes and times."""
    digest = hashlib.sha256()
    for file in [path, *_files(path)] if path.is_dir() else [path]:
        state = file.lstat()
        digest.update(f"{file}\0{state.st_size}\0{state.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _both(train: Path, test: Path) -> Part:
    """Images to learn from and to be tested on, of the same classes, and none that is in both."""
    parts = [_of_classes(part, [folder.name for folder in _content(part)[0]]) for part in (train, test)]
    first, second = parts
    strangers = sorted(set(second.classes or ()) - set(first.classes or ()))
    if strangers:
        raise InputError(f"{test} holds classes that {train} has not: {', '.join(strangers)}")
    files = [{f.resolve() for f in _files(part) if f.suffix.lower() in IMAGES} for part in (train, test)]
    if shared := files[0] & files[1]:
        raise InputError(f"{len(shared)} images are in both {train} and {test}", problems=_told(sorted(shared)))
    assert second.labels is not None and first.classes is not None and second.classes is not None  # noqa: S101, PT018
    number = np.array([first.classes.index(name) for name in second.classes])
    return first, Source(
        second.name, second.shape, second.dtype, second.chunks, number[second.labels], first.classes, (0, 255)
    )


def _of_classes(path: Path, names: Sequence[str]) -> Source:
    """The images of a folder for each class."""
    found = []
    for label, name in enumerate(names):
        folders, files = _content(path / name)
        if folders:
            raise InputError(
                f"{path / name} holds folders: {folders[0].name}", hint="a class's folder holds images alone"
            )
        if not files:
            raise InputError(f"{path / name} holds no images (PNG or JPEG)", hint="remove the folder, or fill it")
        found += [(file, label) for file in files]
    return _source(path, found, tuple(names))


def _source(path: Path, files: Sequence[tuple[Path, int]], classes: tuple[str, ...] | None) -> Source:
    if not files:
        raise InputError(f"{path} holds no images (PNG or JPEG)", hint="put them into a folder for each class")
    paths = [file for file, _ in files]
    opened = ((file, _open(file)) for file in paths)
    like, first = next(((file, image) for file, image in opened if not isinstance(image, str)), (None, None))
    if like is None or first is None:
        raise InputError(
            f"{path} holds no image that can be read", problems=[str(_open(file)) for file in paths[:MOST]]
        )
    shape = first.shape
    check_unpacked(path, len(paths) * first.size, sum(file.stat().st_size for file in paths if file.is_file()))
    labels = np.array([label for _, label in files], np.int64) if classes else None
    read = partial(_chunks, path, paths, like, shape)
    return Source(str(path), (len(paths), *shape), np.dtype(np.uint8), read, labels, classes, (0, 255))


def _chunks(path: Path, files: Sequence[Path], like: Path, shape: tuple[int, ...]) -> Iterator[npt.NDArray[Any]]:
    """The images, and at the end an error with all that cannot be read or are unlike one that can."""
    problems: list[str] = []
    step = max(1, min(AT_ONCE, 2**26 // prod(shape)))
    for begin in range(0, len(files), step):
        part = files[begin : begin + step]
        images = np.zeros((len(part), *shape), np.uint8)
        for place, file in zip(images, part, strict=True):
            image = _open(file)
            if isinstance(image, str):
                problems.append(image)
            elif image.shape != shape:
                problems.append(f"{file} is {_shown(image.shape)}")
            else:
                place[...] = image
        yield images
    if problems:
        raise InputError(
            f"{len(problems)} of {len(files)} images in {path} are broken, or unlike {like}, which is {_shown(shape)}",
            hint="bring all to one size and one mode, and remove what is broken",
            problems=[*problems[:MOST], *([f"and {len(problems) - MOST} more"] if len(problems) > MOST else [])],
        )


def _open(file: Path) -> npt.NDArray[np.uint8] | str:
    """An image `(C, H, W)`, or why there is none."""
    from PIL import Image

    try:
        with Image.open(file, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MOST_PIXELS:
                return f"{file} is too large: {image.width} x {image.height} pixels"
            if image.mode not in MODES or "transparency" in image.info:
                why = (
                    "is transparent" if "A" in image.mode or "transparency" in image.info else f"has mode {image.mode}"
                )
                return f"{file} {why}: only grey, and red, green and blue, of 8 bits are read"
            pixels = np.asarray(image.convert(MODES[image.mode]))
    except Exception as error:  # noqa: BLE001  decoders raise what they like
        return f"{file} is broken: {'no PNG or JPEG' if 'cannot identify' in str(error) else error}"
    return np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels[None]


def _content(path: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the images in a folder, in the order of their names."""
    try:
        entries = sorted(e for e in path.iterdir() if not e.name.startswith(".") and e.name != "__MACOSX")
        folders = [e for e in entries if e.is_dir()]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    others = [e for e in entries if e.suffix.lower() in OTHER_IMAGES]
    if others:
        raise InputError(
            f"{path} holds images that are neither PNG nor JPEG", problems=_told(others), hint="convert them"
        )
    return folders, [e for e in entries if e.suffix.lower() in IMAGES and e not in set(folders)]


def _files(path: Path) -> Iterator[Path]:
    """All files as deep as images lie, through links too."""
    for place, folders, files in os.walk(path, followlinks=True):
        if len(Path(place).relative_to(path).parts) >= DEPTH:
            folders.clear()
        folders.sort()
        yield from (Path(place) / name for name in sorted(files))


def _told(files: Sequence[Path]) -> list[str]:
    return [str(f) for f in files[:MOST]] + ([f"and {len(files) - MOST} more"] if len(files) > MOST else [])


def _shown(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{width} x {height} {'grey' if channels == 1 else 'RGB'}"
