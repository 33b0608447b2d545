"""What an evaluation found: predictions, spikes, counts, and what they were compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.display import Block, Displayed, Table, percent
from kdsnn.evaluation.edges import edges_of, verdict
from kdsnn.evaluation.in_time import InTime, in_time
from kdsnn.evaluation.steps import Steps, joined_steps
from kdsnn.network import Network
from kdsnn.network.counters import Counts
from kdsnn.targets.base import RunResult

__all__ = ["IN_TIME", "Evaluation", "Part", "joined"]

SCHEMA = "kdsnn.evaluation/1"
IN_TIME = "in_time"  # a key that is there where it was asked for
HIGHEST = ("fill_steps", "lanes", "memory_mib", "peak_process_mib", "processes", "static_w", "workers")
Array = npt.NDArray[Any]
WHITE = 255
CUT_TO_ONE_BIT = "images_cut_to_one_bit"  # a note that is there where there are any
_CUT = (
    "note: the network's input has one bit, and {:.0f} of {} images hold other values than 0 and 255: each is cut, "
    "below 128 nothing is sent"
)
_UNCOMPARED = "this is the reference itself: nothing was compared"


@dataclass(frozen=True)
class Evaluation(Displayed):
    """What a target computed on a set of images, compared with the reference.

    Attributes:
        target: name.
        fingerprint: of the network.
        predictions: `(N,)`.
        accuracy: share of right predictions, or None without labels.
        counts: counted by the target.
        output_spikes: `(N, T, classes)` uint8.
        potentials: `(N, classes)` int32 of an output that integrates and never fires; else None.
        spike_totals: for each population, each neuron's spikes over T, `(N, neurons)` uint16.
        compared: populations whose spikes were compared with the reference, one by one; empty if none were.
        wall_s: seconds the target worked; with a pool, seconds until it had done everything, the comparison included.
        versions: of what computed it.
        notes: further figures of the target, summed over its runs; the highest of any run for those named in `HIGHEST`.
        edges: what the network says of the edges before this one, in words (`kdsnn.evaluation.edges`).
        in_time: answers after each step, and what stopping early saves, where that was asked for.
    """

    target: str
    fingerprint: str
    predictions: npt.NDArray[np.int64]
    accuracy: float | None
    counts: Counts
    output_spikes: npt.NDArray[np.uint8]
    potentials: npt.NDArray[np.int32] | None
    spike_totals: Mapping[str, npt.NDArray[np.uint16]]
    compared: tuple[str, ...]
    wall_s: float
    versions: Mapping[str, str]
    notes: Mapping[str, float]
    edges: Mapping[str, str]
    in_time: InTime | None = None

    @property
    def samples(self) -> int:
        """Number of images."""
        return len(self.predictions)

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`; `matches_reference` is false where nothing was compared, as for the reference."""
        return {
            "schema": SCHEMA,
            "target": self.target,
            "fingerprint": self.fingerprint,
            "samples": self.samples,
            "timesteps": int(self.output_spikes.shape[1]),
            "accuracy": self.accuracy,
            "predictions": self.predictions.tolist(),
            "layers": [asdict(layer) for layer in self.counts.layers],
            "counts": self.counts.totals(),
            "matches_reference": bool(self.compared),
            "compared_populations": list(self.compared),
            "wall_s": self.wall_s,
            "samples_per_s": self.samples / self.wall_s,
            "versions": dict(self.versions),
            "notes": dict(self.notes),
            "edges": dict(self.edges),
            **({} if self.in_time is None else {IN_TIME: self.in_time.as_json()}),
        }

    def blocks(self) -> tuple[Block, ...]:
        """Counts by layer, accuracy, and how far the proof reaches."""
        layers = Table(
            f"{self.target}: {self.samples} images, T = {self.output_spikes.shape[1]}",
            ("layer", "kind", "neurons", "spikes", "SynOps\ndense", "SynOps\neffective", "input\nMACs"),
            [
                (x.name, x.kind, x.neurons, x.spikes, x.synops_dense, x.synops_effective, x.input_macs)
                for x in self.counts.layers
            ],
        )
        populations = f"matches the reference spike for spike in {len(self.compared)} populations, and in all counts"
        found = f"every spike equal, {populations}" if self.compared else _UNCOMPARED
        said = f"accuracy {percent(self.accuracy)}, {self.samples / self.wall_s:.1f} images/s"
        answers = () if self.in_time is None else self.in_time.blocks()
        cut = f"\n{_CUT.format(self.notes[CUT_TO_ONE_BIT], self.samples)}" if self.notes.get(CUT_TO_ONE_BIT) else ""
        return layers, *answers, f"{said}\n{verdict(self.edges, self.target, found)}{cut}"

    def noting_cut(self, network: Network, images: Array) -> Evaluation:
        """The same, with a note of how many images an input of one bit does not send as they are.

        Args:
            network: that was evaluated.
            images: that it was shown, `(N, *image_shape)` uint8.
        """
        if network.input_bits > 1:
            return self
        grey = sum(bool(((image > 0) & (image < WHITE)).any()) for image in images)  # all at once can be gigabytes
        return replace(self, notes={**self.notes, CUT_TO_ONE_BIT: float(grey)}) if grey else self

    def arrays(self) -> dict[str, Array]:
        """The arrays of `--dump`."""
        spikes = {f"spikes/{name}": totals for name, totals in self.spike_totals.items()}
        read = {} if self.potentials is None else {"potentials": self.potentials}
        steps = {} if self.in_time is None else {"predictions_by_step": self.in_time.steps.predictions}
        return {"predictions": self.predictions, "output_spikes": self.output_spikes, **read, **steps, **spikes}


@dataclass(frozen=True)
class Part:
    """What is kept of a chunk of images.

    Attributes:
        result: with the spikes of the output only.
        totals: for each population, each neuron's spikes over T, `(N, neurons)` uint16.
        compared: populations that were compared with the reference.
        steps: what was answered and counted step by step, where that was asked for.
    """

    result: RunResult
    totals: Mapping[str, npt.NDArray[np.uint16]]
    compared: tuple[str, ...]
    steps: Steps | None = None


def joined(
    network: Network,
    target: str,
    parts: Sequence[Part],
    labels: npt.NDArray[np.int64] | None,
    *,
    wall_s: float | None = None,
    margins: Sequence[int] = (),
) -> Evaluation:
    """The evaluation that chunks of images make together, in their order.

    Args:
        network: that ran.
        target: name of the target.
        parts: of the chunks.
        labels: of all images.
        wall_s: instead of the sum over the chunks.
        margins: to stop at, where the parts have steps; see `kdsnn.evaluation.in_time`.
    """
    results = [part.result for part in parts]
    predictions = np.concatenate([r.predictions for r in results])
    read = [r.potentials for r in results if r.potentials is not None]
    counts = results[0].counts
    for result in results[1:]:
        counts += result.counts
    output_spikes = np.concatenate([r.spikes[network.output.name] for r in results])
    steps = [part.steps for part in parts if part.steps is not None]
    noted = dict.fromkeys(key for result in results for key in result.notes)
    return Evaluation(
        target=target,
        fingerprint=results[0].fingerprint,
        predictions=predictions,
        accuracy=None if labels is None else float((predictions == labels).mean()),
        counts=counts,
        output_spikes=output_spikes,
        potentials=np.concatenate(read) if read else None,
        spike_totals={name: np.concatenate([p.totals[name] for p in parts]) for name in parts[0].totals},
        compared=parts[0].compared,
        wall_s=sum(r.wall_s for r in results) if wall_s is None else wall_s,
        versions=results[0].versions,
        notes={key: _note(key, [r.notes.get(key, 0.0) for r in results]) for key in noted},
        edges=edges_of(network),
        in_time=in_time(network, joined_steps(steps), counts, output_spikes, labels, margins) if steps else None,
    )


def _note(key: str, values: list[float]) -> float:
    return max(values) if key in HIGHEST else sum(values)
