"""What each layer did: rates, operations, energy, and neurons that say nothing because they never or always fire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.network.counters import Counts, LayerCounts

__all__ = ["layer_rows"]

SATURATED = 0.95  # share of its steps in which a saturated neuron fires, at least
MANY_SILENT, MANY_SATURATED = 0.5, 0.1  # share of a layer's neurons from which there is advice
Activity = Mapping[str, npt.NDArray[np.int64]]


def layer_rows(
    counts: Counts, timesteps: int, activity: Activity | None, joules: Mapping[str, float]
) -> list[dict[str, Any]]:
    """A row a layer, means per sample.

    Args:
        counts: of an evaluation.
        timesteps: T.
        activity: each neuron's spikes over all its images, by layer; None where they are not kept.
        joules: per sample, by layer, under the model that the page leads with.
    """
    return [_row(layer, counts.samples, timesteps, activity, joules) for layer in counts.layers]


def _row(
    layer: LayerCounts, samples: int, timesteps: int, activity: Activity | None, joules: Mapping[str, float]
) -> dict[str, Any]:
    silent = saturated = None
    if activity is not None:
        spikes = activity[layer.name]
        silent = float((spikes == 0).mean())
        saturated = float((spikes >= SATURATED * samples * timesteps).mean())
    return {
        "name": layer.name,
        "kind": layer.kind,
        "relay": layer.relay,
        "neurons": layer.neurons,
        "firing_rate": layer.spikes / layer.neuron_updates,
        "spikes_per_sample": layer.spikes / samples,
        "synops_dense_per_sample": layer.synops_dense / samples,
        "synops_effective_per_sample": layer.synops_effective / samples,
        "input_macs_per_sample": layer.input_macs / samples,
        "input_macs_effective_per_sample": layer.input_macs_effective / samples,
        "energy_j_per_sample": joules.get(layer.name),
        "silent": silent,
        "saturated": saturated,
        "advice": _advice(silent, saturated),
        "timesteps": timesteps,
    }


def _advice(silent: float | None, saturated: float | None) -> str | None:
    said = []
    if silent is not None and silent >= MANY_SILENT:
        said.append(f"{100 * silent:.0f} % never fire: fewer channels would do, or a lower threshold wakes them")
    if saturated is not None and saturated >= MANY_SATURATED:
        said.append(f"{100 * saturated:.0f} % fire at nearly every step: a higher threshold would save their spikes")
    return "; ".join(said) or None
