"""Spike encoders: from still images to a frame of spikes for each time step, in whole numbers.

An encoder takes images `(N, ...)` uint8 and T, and returns `(N, T, ...)` uint8 that hold 0, or 255 where a spike is
sent: what an input of one bit sends of them. What an image becomes depends on its pixels and on T, and on nothing else:
not on the batch that it is in, its place there, or the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from kdsnn.choices import ENCODERS
from kdsnn.data.room import room_for
from kdsnn.errors import InputError

__all__ = ["DIRECT", "SPIKE", "Encoder", "check_still", "delta", "direct", "encoded", "holds_spikes", "latency", "rate"]

Images = npt.NDArray[np.uint8]
Encoder = Callable[[Images, int], Images]
DIRECT = "direct"  # of ENCODERS: the network is shown the still image itself, at every step
SPIKE, SILENCE = np.uint8(255), np.uint8(0)
WHITE = 255
AT_ONCE = 2**22  # bytes of spikes that are made, or looked at, together


def encoded(images: Images, name: str, timesteps: int) -> Images:
    """Images as a network is shown them: as they are where `name` is `direct`, or `(N, T, ...)` spikes.

    Args:
        images: `(N, ...)` uint8, still.
        name: one of `kdsnn.choices.ENCODERS`.
        timesteps: T.

    Raises:
        UsageError: there is no encoder of that name.
    """
    if name == DIRECT:
        return images
    encoder: Encoder = ENCODERS.get(name)
    made = room_for((len(images), timesteps, *images.shape[1:]))
    step = max(1, AT_ONCE // max(1, made[:1].size))
    for begin in range(0, len(images), step):
        made[begin : begin + step] = encoder(images[begin : begin + step], timesteps)
    return made


def check_still(name: str, encode: str) -> None:
    """Raises InputError where data that are in time already, of this name, shall be encoded."""
    if encode != DIRECT:
        raise InputError(
            f"{name} is in time already, and encoders take still images",
            hint=f"leave out --encode {encode} (in a recipe: data.encode)",
        )


def holds_spikes(images: Images) -> bool:
    """Whether images are in time, `(N, T, C, H, W)` or `(N, T, F)`, and hold nothing but 0 and 255."""
    step = max(1, AT_ONCE // max(1, images[0].size))
    parts = (images[begin : begin + step] for begin in range(0, len(images), step))
    return images.ndim in (3, 5) and all(bool(((part == 0) | (part == SPIKE)).all()) for part in parts)


def direct(images: Images, timesteps: int) -> Images:
    """The image itself at every step: a view."""
    return np.broadcast_to(images[:, None], (len(images), timesteps, *images.shape[1:]))


def rate(images: Images, timesteps: int) -> Images:
    """At every step a spike with the probability `p / 255`, independent for each pixel and step.

    The draws of an image are those of the counter-based generator Philox (Salmon et al. 2011), whose key is made of the
    pixels' sha256: a spike where a draw from 0 to 65,535 is below `65,536 p / 255`.
    """
    chance = (images.astype(np.uint32) * 65536 + (WHITE - 1)) // WHITE  # r < 65536 p / 255, for whole r
    made = np.empty((len(images), timesteps, *images.shape[1:]), np.uint8)
    for image, below, out in zip(images, chance, made, strict=True):
        out[...] = np.where(_draws(image, out.size).reshape(out.shape) < below, SPIKE, SILENCE)
    return made


def latency(images: Images, timesteps: int) -> Images:
    """One spike a pixel, the earlier the brighter: at step `round((T - 1) (1 - p / 255))`. Black pixels stay silent."""
    dark = WHITE - images.astype(np.int64)
    when = (2 * (timesteps - 1) * dark + WHITE) // (2 * WHITE)  # no half can come: 255 is odd
    when[images == 0] = timesteps
    return _where(when[:, None] == _steps(timesteps, images))


def delta(images: Images, timesteps: int) -> Images:
    """A spike whenever the pixel is `255 / T` or more above what the spikes before it make together: send on delta.

    So a pixel spikes at the first `floor(T p / 255)` steps, and is silent once it is told.
    """
    told = _steps(timesteps, images) * WHITE  # T times what is told before a step
    return _where(images[:, None].astype(np.int64) * timesteps - told >= WHITE)


def _where(spikes: npt.NDArray[np.bool_]) -> Images:
    return np.where(spikes, SPIKE, SILENCE)


def _steps(timesteps: int, images: Images) -> npt.NDArray[np.int64]:
    """Numbers of the time steps, which go along the second axis."""
    return np.arange(timesteps).reshape(1, -1, *(1 for _ in images.shape[1:]))


def _draws(image: Images, count: int) -> npt.NDArray[np.uint32]:
    """Whole numbers from 0 to 65,535, by the pixels and shape of an image: four of each 64 bits, the lowest first."""
    digest = hashlib.sha256(str(image.shape).encode() + np.ascontiguousarray(image).tobytes()).digest()
    bits = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(-(-count // 4))
    draws: npt.NDArray[np.uint32] = bits.astype("<u8").view("<u2")[:count].astype(np.uint32)
    return draws
