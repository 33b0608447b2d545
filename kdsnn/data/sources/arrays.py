"""Images and labels in arrays, in memory or in `.npz` and `.npy` files, by the names that they usually have.

    x, y                                all images; or images, labels
    x_train, y_train, x_test, y_test    with a test split (Keras); or train_x, train_images, train_labels ... (MedMNIST)
    classes                             names of the classes, where there are any
    range                               what becomes 0 and what becomes 255
    steps                               T, where the second axis of the images is time; five axes need no word

Labels are whole numbers from 0. Other arrays are left out, val_images too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kdsnn.data.sources.columns import MOST_LABELS, Column, in_npy, in_npz
from kdsnn.data.sources.source import Labels, Part, Range, Source
from kdsnn.data.sources.values import check_range
from kdsnn.errors import InputError

__all__ = ["labels_of", "of_columns", "of_npy", "of_npz"]

IMAGES, LABELS = ("x", "images"), ("y", "labels")
LABELS_BESIDE = "_labels.npy"
MOST_CLASSES, LONGEST_NAME = 2**17, 1000


def of_npz(path: Path) -> Part:
    """What an `.npz` file holds."""
    return of_columns(in_npz(path), str(path))


def of_npy(path: Path) -> Part:
    """The images of `NAME.npy`, with the labels of `NAME_labels.npy` where it is there."""
    beside = path.with_name(path.stem + LABELS_BESIDE)
    columns = {"x": in_npy(path)}
    if beside.is_file():
        columns["y"] = in_npy(beside)
    return of_columns(columns, str(path))


def of_columns(columns: Mapping[str, Column], name: str) -> Part:
    """The images among arrays with names.

    Raises:
        InputError: there are no images, or labels, classes or range are not what they should be.
    """
    whole, train, test = (_pair(columns, part) for part in ("", "train", "test"))
    if (whole[0] is None) == (train[0] is None and test[0] is None):
        raise InputError(
            f"{name} holds the arrays {', '.join(map(repr, sorted(columns))) or 'of nothing'}",
            hint="it needs images x and, to learn from, labels y; or x_train, y_train, x_test, y_test",
        )
    if whole[0] is None and (train[0] is None or test[0] is None):
        there, gone = ("train", "test") if test[0] is None else ("test", "train")
        raise InputError(f"{name} holds images for {there} and none for {gone}")
    classes, value_range, steps = _classes(columns, name), _range(columns, name), _steps(columns, name)

    def source(pair: tuple[Column | None, Column | None], part: str) -> Source:
        images, labels = pair
        assert images is not None  # noqa: S101  checked above
        title = f"{name}: {part}" if part else name
        known = labels_of(labels, title)
        return Source(title, images.shape, images.dtype, images.chunks, known, classes, value_range, steps)

    return source(whole, "") if whole[0] is not None else (source(train, "train"), source(test, "test"))


def labels_of(column: Column | None, name: str) -> Labels | None:
    """Labels `(N,)`, of `(N,)` or `(N, 1)` whole numbers.

    Raises:
        InputError: they are anything else.
    """
    if column is None:
        return None
    if column.dtype.kind not in "bui" or len(column.shape) not in (1, 2) or column.shape[1:] not in ((), (1,)):
        one_hot = len(column.shape) == 2 and column.shape[1] > 1
        raise InputError(
            f"{name}: labels are {column.dtype} of shape {column.shape}, not whole numbers (N,)",
            hint="write y.argmax(1)"
            if one_hot
            else "number the classes from 0, and write their names as an array classes",
        )
    if column.shape[0] > MOST_LABELS:
        raise InputError(f"{name}: there are {column.shape[0]:,} labels, more than {MOST_LABELS:,}")
    return column.whole().reshape(-1).astype(np.int64)


def _pair(columns: Mapping[str, Column], part: str) -> tuple[Column | None, Column | None]:
    """Images and labels of a part; of all, where it has no name."""

    def found(names: tuple[str, ...]) -> Column | None:
        forms = [form for n in names for form in ((f"{n}_{part}", f"{part}_{n}") if part else (n,))]
        return next((columns[form] for form in forms if form in columns), None)

    return found(IMAGES), found(LABELS)


def _classes(columns: Mapping[str, Column], name: str) -> tuple[str, ...] | None:
    if "classes" not in columns:
        return None
    column = columns["classes"]
    if column.dtype.kind != "U" or len(column.shape) != 1:
        raise InputError(f"{name}: classes are {column.dtype} of shape {column.shape}, not text (classes,)")
    if column.shape[0] > MOST_CLASSES or column.dtype.itemsize > 4 * LONGEST_NAME:
        raise InputError(
            f"{name}: there are more than {MOST_CLASSES:,} classes, or names of more than {LONGEST_NAME} characters"
        )
    return tuple(map(str, column.whole()))


def _range(columns: Mapping[str, Column], name: str) -> Range | None:
    if "range" not in columns:
        return None
    column = columns["range"]
    if column.shape != (2,) or column.dtype.kind not in "uif":
        raise InputError(f"{name}: range is {column.dtype} of shape {column.shape}, not two numbers")
    low, high = map(float, column.whole())
    check_range((low, high), f"{name}: range")
    return low, high


def _steps(columns: Mapping[str, Column], name: str) -> int | None:
    if "steps" not in columns:
        return None
    column = columns["steps"]
    if (
        column.shape not in ((), (1,))
        or column.dtype.kind not in "ui"
        or (steps := int(column.whole().reshape(()))) < 1
    ):
        raise InputError(f"{name}: steps is {column.dtype} of shape {column.shape}, not one whole number from 1")
    return steps
