"""The tables that show how a network was quantized, and what that changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kdsnn.display import Table, percent
from kdsnn.distill.qat.sensitivity import LayerSensitivity
from kdsnn.evaluation.agreement import Agreement
from kdsnn.export.quantization.quantize import QuantizationReport
from kdsnn.network import NEVER

__all__ = ["quantization_tables"]


def quantization_tables(
    report: QuantizationReport, agreement: Agreement, sensitivity: Sequence[LayerSensitivity]
) -> Iterator[Table]:
    """Rounding by layer, widths of the input that were tried, agreement with the float network, and sensitivity."""
    yield Table(
        f"Quantization: int{report.weight_bits} weights ({report.method}), {report.input_bits}-bit input",
        (
            *("layer", "threshold", "largest\nweight", "clipped", "weight\nerror", "bias\nerror", "decay\nerror"),
            "limited by",
        ),
        [
            (
                *(x.name, None if x.threshold == NEVER else x.threshold, x.largest_weight, percent(x.clipped)),
                *(percent(x.weight_error), percent(x.bias_error), percent(x.decay_error)),
                x.limited_by + (", clips" if x.clips else ""),
            )
            for x in report.layers
        ],
    )
    if report.input_trials:
        yield Table(
            "What the width of the input messages costs",
            ("bits", "largest weight", "drive error / threshold"),
            [(t.bits, t.largest_weight, f"{100 * t.drive_error:.3f}%") for t in report.input_trials],
        )
    yield Table(
        f"The integer network beside the float network: {agreement}",
        (
            *("layer", "firing rate,\nfloat", "firing\nrate", "neuron-steps\ndiffering", "weights\nnow 0"),
            "channels\nsilenced",
        ),
        [
            (
                *(x.name, percent(x.float_rate), percent(x.rate), percent(x.differing), percent(x.zeroed)),
                x.dead_channels,
            )
            for x in agreement.layers
        ],
    )
    if sensitivity:
        yield Table(
            "Only this layer quantized",
            ("layer", "accuracy", "firing rate, float", "firing rate"),
            [(x.name, percent(x.accuracy), percent(x.float_rate), percent(x.rate)) for x in sensitivity],
        )
