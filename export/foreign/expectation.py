"""Edge (1) for files: does the float network fire as the user's own simulator did?

Tolerance 0; but their simulator computed in float32. Where an image differs, and deciding otherwise about a few
potentials that lie on their threshold within its rounding gives just what was recorded, it counts as equal, and is
counted apart. What is recorded, and how: `recording.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import VerificationError
from kdsnn.export.foreign.recording import PREDICTIONS, read_recording
from kdsnn.network import Network
from kdsnn.network.float_simulation import BoolArray, FloatActivity, FloatArray, simulate_float

__all__ = ["FileAgreement", "check_recorded"]

AT_ONCE = 64  # images
MOST_FLIPS, MOST_TRIED = 8, 32  # potentials on their threshold: decided otherwise in an image, and tried for each
Choice = tuple[str, int, int]  # population, step, neuron


@dataclass(frozen=True)
class FileAgreement:
    """That the float network fires as recorded.

    Attributes:
        source: name of the file with what was recorded.
        images: how many were compared.
        compared: populations whose spikes were, and `predictions`.
        values: how many spikes, counts and predictions were compared.
        on_threshold: images that are equal once potentials that lie on their threshold are decided as recorded.
    """

    source: str
    images: int
    compared: tuple[str, ...]
    values: int
    on_threshold: int

    def as_json(self) -> dict[str, Any]:
        """All by name."""
        return asdict(self)

    def __str__(self) -> str:
        what = " and ".join(filter(None, (", ".join(n for n in self.compared if n != PREDICTIONS), self._predictions)))
        apart = f"; in {self.on_threshold} a potential on its threshold decides" if self.on_threshold else ""
        return f"fires as {self.source} says, on {self.images} images: {self.values:,} values equal of {what}{apart}"

    @property
    def _predictions(self) -> str:
        return PREDICTIONS if PREDICTIONS in self.compared else ""


@dataclass(frozen=True)
class _Difference:
    """Where an image first differs; a step of T where no step is recorded."""

    step: int
    population: str
    neuron: int
    recorded: float
    made: float


def check_recorded(network: Network, path: Path) -> FileAgreement:
    """Compares a float network with what the user's own simulator did.

    Args:
        network: the float network of a file.
        path: of the `.npz` file.

    Raises:
        InputError: the file is none, or does not fit the network.
        VerificationError: they differ; names the population, the step and the neuron.
    """
    images, recorded = read_recording(path, network)
    differing: dict[int, _Difference] = {}
    for start in range(0, len(images), AT_ONCE):
        activity = simulate_float(network, images[start : start + AT_ONCE])
        for index in range(len(images[start : start + AT_ONCE])):
            found = _difference(network, activity, index, {k: v[start + index] for k, v in recorded.items()})
            if found is not None:
                differing[start + index] = found
    for index, found in differing.items():
        if not _by_rounding(network, images[index : index + 1], {k: v[index] for k, v in recorded.items()}):
            raise VerificationError(
                f"the float network does not fire as {path.name} says: {_shown(found, index, network)}; "
                f"{len(differing)} of {len(images)} images differ",
                hint="say what a NIR file cannot: --reset, --writer, --dt, --fires-at-threshold, --input-scale",
            )
    values = sum(value.size for value in recorded.values())
    return FileAgreement(path.name, len(images), tuple(recorded), values, len(differing))


def _shown(found: _Difference, image: int, network: Network) -> str:
    if found.population == PREDICTIONS:
        return f"image {image} is predicted as {found.recorded:g} there and {found.made:g} here"
    when = "over all steps" if found.step == network.timesteps else f"step {found.step}"
    return (
        f"population {found.population!r}, {when}, neuron {found.neuron} (image {image}): "
        f"{found.recorded:g} spikes there, {found.made:g} here"
    )


def _difference(
    network: Network, activity: FloatActivity, index: int, recorded: Mapping[str, FloatArray]
) -> _Difference | None:
    """The first in time, and at a step the first on the way from the input, where an image's activity is otherwise."""
    found: list[_Difference] = []
    for name, said in recorded.items():
        wanted = np.asarray(said, dtype=np.float64)
        if name == PREDICTIONS:
            scores = _scores(network, activity, index)
            if (made := int(scores.argmax())) != int(wanted):
                found.append(_Difference(network.timesteps, name, made, float(wanted), made))
            continue
        spikes = activity.spikes[name][index].reshape(network.timesteps, -1).astype(np.float64)
        made_ = spikes if wanted.ndim == 2 else spikes.sum(0)
        if (made_ != wanted).any():
            place = tuple(int(i) for i in np.argwhere(made_ != wanted)[0])
            step = place[0] if wanted.ndim == 2 else network.timesteps
            found.append(_Difference(step, name, place[-1], float(wanted[place]), float(made_[place])))
    return min(found, key=lambda d: d.step) if found else None


def _scores(network: Network, activity: FloatActivity, index: int) -> FloatArray:
    if network.readout == "membrane":
        scores: FloatArray = activity.potentials[index].reshape(-1)
        return scores
    return np.asarray(activity.spikes[network.output.name][index].sum(0), dtype=np.float64).reshape(-1)


def _by_rounding(network: Network, image: npt.NDArray[np.uint8], recorded: Mapping[str, FloatArray]) -> bool:
    """Whether an image gives what was recorded once potentials on their threshold are decided the other way.

    One after the other, each where the first difference then comes later: not every combination is tried.
    """
    chosen: frozenset[Choice] = frozenset()
    first, near = _decided(network, image, recorded, chosen)
    for _ in range(MOST_FLIPS):
        earlier = [c for c in near if c not in chosen and first is not None and c[1] <= first.step]
        for candidate in earlier[::-1][:MOST_TRIED]:
            then, near_then = _decided(network, image, recorded, chosen | {candidate})
            if then is None:
                return True
            if first is not None and then.step > first.step:
                chosen, first, near = chosen | {candidate}, then, near_then
                break
        else:
            return False
    return False


def _decided(
    network: Network, image: npt.NDArray[np.uint8], recorded: Mapping[str, FloatArray], chosen: frozenset[Choice]
) -> tuple[_Difference | None, list[Choice]]:
    """The first difference of an image once the chosen neurons do the opposite, and all that lie on their threshold."""

    def decide(name: str, step: int, fired: BoolArray) -> BoolArray:
        for _, _, neuron in (c for c in chosen if c[:2] == (name, step)):
            fired.flat[neuron] = not fired.flat[neuron]
        return fired

    made = simulate_float(network, image, decide=decide)
    near = [
        (name, step, int(neuron))
        for step in range(network.timesteps)
        for name, places in made.near.items()
        for neuron in np.flatnonzero(places[0, step])
    ]
    return _difference(network, made, 0, recorded), near
