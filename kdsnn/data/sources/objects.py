"""Images in Python objects: arrays, torch data sets, and what a function of one's own returns.

    x                       images alone
    (x, y)                  images and labels
    {"x": x, "y": y}        all names of `kdsnn.data.sources.arrays`
    a torch Dataset         of pairs of an image and its label
    (train, test)           each (x, y) or a torch Dataset
    a kdsnn Dataset         as it is

Arrays are numpy's, or tensors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.data.datasets import Dataset
from kdsnn.data.sources.arrays import of_columns
from kdsnn.data.sources.columns import held
from kdsnn.data.sources.source import Part, Source
from kdsnn.errors import InputError

__all__ = ["of_object"]

AT_ONCE = 256  # images


def of_object(value: object, name: str) -> Part | Dataset:
    """What an object holds.

    Raises:
        InputError: it is none of the above, or its arrays are not what they should be.
    """
    if isinstance(value, Dataset):
        return value
    if _is_array(value):
        return of_columns({"x": held(_array(value))}, name)
    if isinstance(value, Mapping):
        return of_columns({str(key): held(_array(item)) for key, item in value.items()}, name)
    if _is_torch_dataset(value):
        return _of_torch(value, name)
    if isinstance(value, tuple | list) and len(value) == 2:
        if all(map(_is_array, value)):
            return of_columns({key: held(_array(item)) for key, item in zip("xy", value, strict=True)}, name)
        train, test = (of_object(v, f"{name}: {part}") for v, part in zip(value, ("train", "test"), strict=True))
        if isinstance(train, Source) and isinstance(test, Source):
            return train, test
    raise InputError(
        f"{name} is {_kind(value)}, not data",
        hint="give arrays (x, y), a mapping of arrays, a torch Dataset, or two of them: (train, test)",
    )


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray) or (hasattr(value, "__array__") and hasattr(value, "shape"))


def _array(value: Any) -> npt.NDArray[Any]:
    """As numpy has it: a tensor is taken from its device and its graph."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)


def _is_torch_dataset(value: object) -> bool:
    torch = sys.modules.get("torch.utils.data")  # one that exists has imported it
    return torch is not None and isinstance(value, torch.Dataset)


def _of_torch(data: Any, name: str) -> Source:
    """A data set that counts its items; its labels are read first, without the images where it keeps them apart."""
    if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        raise InputError(
            f"{name} is {_kind(data)} without a length", hint="give a data set with __len__ and __getitem__"
        )
    if len(data) == 0:
        raise InputError(f"{name} holds no images")
    first = _item(data, 0, name)
    like, labels, classes = _channels_first(first[0]), None, getattr(data, "classes", None)
    if len(first) > 1:
        kept = getattr(data, "targets", None) if getattr(data, "target_transform", None) is None else None
        every = (_item(data, i, name)[1] for i in range(len(data))) if kept is None else kept
        labels = np.array([_label(label, i, name) for i, label in enumerate(every)], np.int64)

    def chunks() -> Iterator[npt.NDArray[Any]]:
        for begin in range(0, len(data), AT_ONCE):
            index = range(begin, min(begin + AT_ONCE, len(data)))
            images = np.empty((len(index), *like.shape), like.dtype)
            for place, number in zip(images, index, strict=True):
                item = _item(data, number, name)
                image = _channels_first(item[0])
                if (image.shape, image.dtype) != (like.shape, like.dtype):
                    raise InputError(f"{name}: image {number} is {_shown(image)}, and image 0 {_shown(like)}")
                if labels is not None and _label(item[1], number, name) != labels[number]:
                    raise InputError(f"{name}: item {number} has another label each time it is read")
                place[...] = image
            yield images

    said = None if classes is None else tuple(map(str, classes))
    return Source(name, (len(data), *like.shape), like.dtype, chunks, labels, said)


def _item(data: Any, index: int, name: str) -> tuple[Any, ...]:
    """An item as a tuple of the image and what comes with it."""
    try:
        item = data[index]
    except Exception as error:
        raise InputError(f"{name}: item {index} cannot be read: {type(error).__name__}: {error}") from error
    return tuple(item) if isinstance(item, tuple | list) else (item,)


def _channels_first(image: Any) -> npt.NDArray[Any]:
    """An image as an array; one of Pillow has its channels last."""
    array = _array(image)
    return np.moveaxis(array, -1, 0) if array.ndim == 3 and not _is_array(image) else array


def _label(label: Any, index: int, name: str) -> int:
    array = _array(label)
    if array.size != 1 or array.dtype.kind not in "bui":
        raise InputError(f"{name}: the label of item {index} is {array.dtype} of shape {array.shape}, no whole number")
    return int(array.reshape(()))


def _shown(image: npt.NDArray[Any]) -> str:
    return f"{image.dtype} of shape {image.shape}"


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
