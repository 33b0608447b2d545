"""From stored values to pixels: shapes, ranges, and what is refused."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError

__all__ = ["PIXELS", "UNIT", "check_kind", "check_range", "check_whites", "image_shape", "to_pixels"]

PIXELS, UNIT = (0.0, 255.0), (0.0, 1.0)
USUAL = (UNIT, (-1.0, 1.0), PIXELS)  # ranges to propose, the narrowest first


def image_shape(name: str, shape: tuple[int, ...], steps: int | None = None) -> tuple[int, ...]:
    """The shape of one image as networks take it, from that of all as they are stored.

    Args:
        name: for messages.
        shape: `(N, F)`, `(N, H, W)` or `(N, C, H, W)` of still images. Of data in time `(N, T, C, H, W)`, which needs
            no word; `(N, T, F)` and `(N, T, H, W)` are taken for that where T is declared, and else for still images.
        steps: T of data in time, where it is declared.

    Returns:
        `(F,)` or `(C, H, W)`, and T before it of data in time.

    Raises:
        InputError: there are none, they are no images and no vectors, or have another number of steps.
    """
    if len(shape) not in (2, 3, 4, 5):
        raise InputError(f"{name} has shape {shape}: neither (N, F) nor (N, H, W) nor (N, C, H, W) nor (N, T, C, H, W)")
    if 0 in shape:
        raise InputError(f"{name} holds no images: its shape is {shape}")
    if steps is not None and (len(shape) < 3 or shape[1] != steps):
        raise InputError(
            f"{name} has shape {shape}, and {steps} time steps are declared",
            hint="time is the second axis: (N, T, C, H, W), (N, T, H, W) or (N, T, F)",
        )
    in_time = steps is not None or len(shape) == 5
    frame = shape[2:] if in_time else shape[1:]
    if len(frame) == 3:
        first, second, last = frame
        if (last in (3, 4) and min(first, second) > 4) or (last in (1, 2) and first == second > 4):
            axes, turned = ("(N, T, H, W, C)", "0, 1, 4, 2, 3") if in_time else ("(N, H, W, C)", "0, 3, 1, 2")
            raise InputError(
                f"{name} has shape {shape}: it looks like {axes}",
                hint=f"channels come first: write x.transpose({turned})",
            )
    made = (1, *frame) if len(frame) == 2 else frame
    return (shape[1], *made) if in_time else made


def check_range(value_range: tuple[float, float], what: str) -> None:
    """Raises InputError unless a range leads from a number to a larger one."""
    low, high = value_range
    if not (isfinite(low) and isfinite(high) and low < high):
        raise InputError(f"{what} must be two numbers, the smaller first, not {list(value_range)}")


def check_kind(name: str, dtype: np.dtype[Any]) -> None:
    """Raises InputError for what are no numbers."""
    if dtype.kind not in "buif":
        raise InputError(f"{name} holds {dtype}, no numbers", hint="write uint8, or float32")


def check_whites(images: npt.NDArray[np.uint8], name: str) -> None:
    """Raises InputError where the largest pixel is 1 of 255: spikes, or a range 0 to 1, that were stored as uint8.

    Args:
        images: all of a source that says no range; taken as they were stored.
        name: for messages.
    """
    if images.max(initial=0) == 1:
        raise InputError(
            f"{name} holds uint8, and the largest value is 1 of 255",
            hint="say --data-range 0:1 (data.range = [0, 1] in a recipe, an array range in the .npz), or store 255; "
            "images as dark as that say 0:255",
        )


def to_pixels(
    values: npt.NDArray[Any], value_range: tuple[float, float] | None, name: str, first: int
) -> npt.NDArray[np.uint8]:
    """Values as pixels: `round(255 (x - low) / (high - low))`; uint8 without a range is left as it is.

    Args:
        values: of some images, the first axis counts them.
        value_range: low and high; None is 0 to 1 for floats and for true and false.
        name: for messages.
        first: number of the first image.

    Raises:
        InputError: a value is no number, or lies outside; says of which image.
    """
    kind = values.dtype.kind
    if value_range is None and values.dtype != np.uint8 and kind in "ui":
        raise InputError(
            f"{name} holds {values.dtype} without a range",
            hint="write x.astype(np.uint8), or say --data-range LOW:HIGH (in a recipe: data.range)",
        )
    if values.dtype == np.uint8 and value_range in (None, PIXELS):
        return values
    low, high = value_range or UNIT
    exact = values.astype(np.float64)  # float16 would round the ends of the range, too
    _check_within(exact, (low, high), name, first, declared=value_range is not None)
    pixels: npt.NDArray[np.uint8] = np.rint((exact - low) * (255 / (high - low))).astype(np.uint8)
    return pixels


def _check_within(
    values: npt.NDArray[Any], value_range: tuple[float, float], name: str, first: int, *, declared: bool
) -> None:
    low, high = value_range
    inside = (values >= low) & (values <= high)  # NaN is not
    if inside.all():
        return
    where = np.unravel_index(int(np.argmin(inside)), values.shape)
    value = float(values[where])
    image = f"{name}: image {first + int(where[0])} holds {value:g}"
    if not isfinite(value):
        raise InputError(image, hint="replace what is no number before you save")
    said = "the range that was said" if declared else "what floats are taken to be where no range is said"
    finite = values[np.isfinite(values)]
    there = float(finite.min()), float(finite.max())
    usual = next((r for r in USUAL if r[0] <= there[0] and there[1] <= r[1]), there)
    raise InputError(
        f"{image}, outside {low:g} to {high:g}, {said}",
        hint=f"say it: --data-range={usual[0]:g}:{usual[1]:g}, in a recipe data.range = [{usual[0]:g}, {usual[1]:g}], "
        "or an array range in the .npz",
    )
