"""Edge (1) of the road, measured: a module, run by torch as it is, against the float network that was made of it.

Every spike of every neuron at every step, and what the module returns. The tolerance is 0, but for potentials that sit
on the threshold within float rounding: where the first difference in an image is such a one, the image is judged until
there, and nothing from there on is counted as equal. Nothing here looks at how the module was lowered but the list of
its neurons' calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from torch import nn

from kdsnn.errors import InputError, VerificationError
from kdsnn.export.lowering.lower import WHITE, Lowered, number_format
from kdsnn.export.lowering.neuron_calls import from_rest
from kdsnn.export.lowering.places import line_of_error
from kdsnn.export.lowering.traced import Order
from kdsnn.models.neurons import IF
from kdsnn.network import Network
from kdsnn.network.float_simulation import FLOAT32_ROUNDING, FloatActivity, simulate_float

__all__ = ["ModuleAgreement", "check_module", "trial_images"]

AT_ONCE = 16  # images in a batch
FLOAT64_ROUNDING = 1e-12
MANY_TIED = 0.25  # share of the images: where more are decided by rounding, the verdict warns
SCORE_ROUNDING = 1e-4  # of the largest score: what float32 loses in a sum over all steps
Images = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ModuleAgreement:
    """How a module and its float network agree.

    Attributes:
        images: that both were shown.
        neuron_steps: that were compared and found equal.
        spikes: among them.
        output_spikes: of the output, among them.
        decided_by_rounding: images in which a potential on the threshold, within float rounding, fired in one only;
            they are judged until there.
    """

    images: int
    neuron_steps: int
    spikes: int
    output_spikes: int
    decided_by_rounding: int

    def __str__(self) -> str:
        equal = f"{self.spikes:,} spikes equal in {self.neuron_steps:,} neuron-steps"
        tied = self.decided_by_rounding
        if not tied:
            return f"{equal}, on {self.images} images"
        said = (
            f"{equal}, on {self.images - tied} images to the last step; {tied} of {self.images} images stop at a "
            "potential that sits on its threshold, within float rounding, and are judged until there"
        )
        if tied <= MANY_TIED * self.images:
            return said
        return f"{said} (warning: they are more than a quarter of the images, and little is known of the rest)"


def trial_images(shape: tuple[int, ...], count: int = 32, seed: int = 0) -> Images:
    """Images that no data set has: noise of all densities and contrasts, black and white, `(count, *shape)`."""
    rng = np.random.default_rng(seed)
    column = (count, *([1] * len(shape)))
    shown = rng.random((count, *shape)) < rng.uniform(0.1, 1.0, column)
    made: Images = (rng.integers(0, 256, (count, *shape)) * rng.uniform(0.2, 1.0, column) * shown).astype(np.uint8)
    made[-2:] = np.reshape([0, 255], (2, *([1] * len(shape))))[-min(count, 2) :]
    return made


def check_module(module: nn.Module, lowered: Lowered, network: Network, images: Images) -> ModuleAgreement:
    """How a module and its float network agree on images.

    Args:
        module: in eval mode.
        lowered: what lowering made of it.
        network: the same, perhaps with relays.
        images: `(N, C, H, W)` or `(N, F)` uint8; in time `(N, T, C, H, W)` or `(N, T, F)`.

    Raises:
        VerificationError: they fire differently; with where they do so first.
        InputError: the module cannot be run.
    """
    rounding = FLOAT64_ROUNDING if number_format(module) is torch.float64 else FLOAT32_ROUNDING
    total = ModuleAgreement(0, 0, 0, 0, 0)
    for begin in range(0, len(images), AT_ONCE):
        batch = images[begin : begin + AT_ONCE]
        spikes, returned = run_module(module, lowered, batch)
        made = simulate_float(network, batch, rounding=rounding)
        found = _judged(network, spikes, made)
        _check_returned(lowered, network, returned, made, ~found.tied)
        total = replace(
            total,
            images=total.images + len(batch),
            neuron_steps=total.neuron_steps + found.neuron_steps,
            spikes=total.spikes + sum(found.spikes.values()),
            output_spikes=total.output_spikes + found.spikes.get(network.output.name, 0),
            decided_by_rounding=total.decided_by_rounding + int(found.tied.sum()),
        )
    return total


def run_module(module: nn.Module, lowered: Lowered, images: Images) -> tuple[dict[str, Array], list[Array]]:
    """Spikes of each population that is a layer's, `(N, T, *shape)`, and what the module returns at each call.

    Raises:
        InputError: it raised an error.
    """
    low, high = lowered.value_range
    pixels = (low + torch.from_numpy(images.astype(np.float64)) * ((high - low) / WHITE)).to(number_format(module))
    returned: list[Any] = []
    with torch.no_grad(), _recorded(module) as seen:
        try:
            for step in range(lowered.network.timesteps if lowered.once_a_step else 1):
                returned.append(module(_given(pixels, lowered, step)))
        except Exception as error:
            raise InputError(
                f"the module fails on images {pixels.shape}: {type(error).__name__}: {str(error)[:300]}"
                f"{line_of_error(error)}"
            ) from error
    steps = lowered.network.timesteps
    trains: dict[str, dict[int, Array]] = {}
    taken: dict[str, int] = {}
    for path, population, step in lowered.calls:
        calls = seen.get(path) or _chunks(seen.get(path.removesuffix(".cell"), []), steps)
        at = taken.get(path, 0)
        if at >= len(calls):
            raise VerificationError(f"layer {path!r} is called {len(calls)} times where the module was traced to more")
        trains.setdefault(population, {})[step] = calls[at]
        taken[path] = at + 1
    names = {population.name for population in lowered.network.spiking}
    spikes = {name: np.stack([of[t] for t in sorted(of)], axis=1) for name, of in trains.items() if name in names}
    tensors = [_tensors(value) for value in returned]
    return spikes, [np.stack([one.double().numpy() for one in same]) for same in zip(*tensors, strict=True)]


def _given(pixels: torch.Tensor, lowered: Lowered, step: int) -> torch.Tensor:
    """What the module is given at a call: still images as they are, images in time `(N, T, ...)` as it takes them."""
    if lowered.in_time is None:
        return pixels
    frames = pixels.transpose(0, 1)
    if lowered.in_time is Order.NOW:
        return frames[step]
    return frames if lowered.in_time is Order.STACKED else frames.flatten(0, 1)


def _tensors(returned: Any) -> list[torch.Tensor]:
    """The tensors that a module returns; a list with one for each time step is put together."""
    if isinstance(returned, torch.Tensor):
        return [returned]
    if isinstance(returned, list) and returned and all(isinstance(one, torch.Tensor) for one in returned):
        return [torch.stack(returned)]
    values = list(returned.values()) if isinstance(returned, dict) else returned
    if not isinstance(values, list | tuple):
        return []
    return [one for value in values for one in _tensors(value)]


def _chunks(outputs: list[Array], steps: int) -> list[Array]:
    """Time steps that lie in the batch."""
    return [chunk for output in outputs for chunk in np.split(output, steps)]


@contextmanager
def _recorded(module: nn.Module) -> Iterator[dict[str, list[Array]]]:
    """While this lasts, the spikes of each neuron are written down, by its path, from rest."""
    seen: dict[str, list[Array]] = {}

    def record(path: str, _layer: nn.Module, _args: Any, output: Any) -> None:
        spikes = output[0] if isinstance(output, tuple) else output
        seen.setdefault(path, []).append(spikes.numpy().copy())

    hooks = []
    try:
        with from_rest(module):
            at_once = {layer: layer.cell for layer in module.modules() if isinstance(layer, IF) and layer.is_plain()}
            for path, layer in module.named_modules():  # a plain IF computes all its steps without calling its cell
                if layer in at_once or (isinstance(layer, snntorch.SpikingNeuron) and layer not in at_once.values()):
                    hooks.append(_first_hook(layer, partial(record, path)))
            yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _first_hook(layer: nn.Module, hook: Any) -> Any:
    """Before the user's own hooks, which may change what the neuron sends: that is not the neuron's doing."""
    return layer.register_forward_hook(hook, prepend=True)


@dataclass(frozen=True)
class _Judged:
    """What was found equal in a batch: `tied` are the images judged until a potential on its threshold, `(N,)`."""

    tied: npt.NDArray[np.bool_]
    neuron_steps: int
    spikes: Mapping[str, int]


def _judged(network: Network, spikes: Mapping[str, Array], made: FloatActivity) -> _Judged:
    """How far a batch is equal: each image to its last step, or until it was decided by rounding.

    Raises:
        VerificationError: an image differs otherwise.
    """
    order = [population.name for population in network.spiking if population.name in spikes]
    differs = {}
    for name in order:
        wanted = spikes[name].reshape(made.spikes[name].shape)
        differs[name] = (wanted != made.spikes[name]).reshape(*wanted.shape[:2], -1)
    found: npt.NDArray[np.bool_] = np.zeros(len(next(iter(made.spikes.values()))), dtype=np.bool_)
    neuron_steps, counts = 0, dict.fromkeys(order, 0)
    for step in range(network.timesteps):
        for name in order:
            here = differs[name][:, step]
            new = here.any(axis=1) & ~found
            near = made.near[name][:, step].reshape(here.shape)
            wrong = new & (here & ~near).any(axis=1)
            if wrong.any():
                raise VerificationError(
                    f"the module and its float network fire differently: first in layer {name!r} at step {step + 1}, "
                    f"in {int(here[wrong].sum())} neurons on {int(wrong.sum())} of {len(found)} images",
                    hint="something changes what the module computes that its operations do not show",
                )
            found |= new
            neuron_steps += int((~found).sum()) * here.shape[1]
            counts[name] += int(made.spikes[name][~found, step].sum())
    return _Judged(found, neuron_steps, counts)


def _check_returned(
    lowered: Lowered, network: Network, returned: list[Array], made: FloatActivity, same: npt.NDArray[np.bool_]
) -> None:
    """One of the tensors that the module returns must be what the network puts out, in the images that are `same`."""
    steps, images = network.timesteps, len(same)
    output = made.spikes[network.output.name].reshape(images, steps, -1)[same].astype(float)
    for tensor in returned:
        trains = tensor if lowered.once_a_step else tensor[0]
        if network.readout == "membrane":
            if _matches(trains, made.potentials.reshape(images, -1)[same], same, steps):
                return
        elif trains.size == steps * images * output.shape[-1]:
            if np.array_equal(trains.reshape(steps, images, -1).swapaxes(0, 1)[same], output):
                return
        elif trains.size == images * output.shape[-1]:
            counts, wanted = trains.reshape(images, -1)[same], output.sum(axis=1)
            scale = counts.sum() / max(wanted.sum(), 1)
            if np.allclose(counts, wanted * scale, atol=1e-5 * max(scale, 1)):  # divided by T, in float32
                return
    raise VerificationError(
        "what the module returns is not what its float network puts out",
        hint="something changes what the module computes that its operations do not show",
    )


def _matches(trains: Array, potentials: Array, same: npt.NDArray[np.bool_], steps: int) -> bool:
    """Whether a tensor is the scores, or adds up to them over the steps; within what float32 loses in the sum."""
    images, classes = len(same), potentials.shape[-1]
    if trains.size == steps * images * classes:
        scores = trains.reshape(steps, images, classes).sum(axis=0)[same]
    elif trains.size == images * classes:
        scores = trains.reshape(images, classes)[same]
        scores = scores * (np.abs(potentials).sum() / max(np.abs(scores).sum(), 1e-30))  # a mean, or the same each step
    else:
        return False
    return bool(
        np.allclose(scores, potentials, rtol=0, atol=SCORE_ROUNDING * max(np.abs(potentials).max(initial=0), 1e-30))
    )
