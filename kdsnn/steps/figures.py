"""What quantizing made and cost, in a run beside the network that it is of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdsnn.export.nir import write_nir
from kdsnn.files.records import Record, Share, read_record
from kdsnn.files.writing import remove, write_json
from kdsnn.network import Network
from kdsnn.steps.models import MODEL_FILE

__all__ = ["FIGURES", "figures_of", "write_quantized"]

FIGURES = "quantization.json"


class Figures(Record):
    """What readers ask of the figures of a quantization."""

    fingerprint: str | None = None
    float_accuracy: Share | None = None
    integer_accuracy: Share | None = None
    method: str | None = None
    data: dict[str, Any] | None = None


def write_quantized(network: Network, figures: Mapping[str, Any], run: Path) -> None:
    """Into a run: stopped in between, it has a network without figures, and never with another's."""
    remove(run / FIGURES)
    write_nir(network, run / MODEL_FILE)
    write_json(run / FIGURES, figures)


def figures_of(run: Path, network: Network) -> dict[str, Any] | None:
    """What quantizing the network of a run made and cost; None where the run does not say it of this very network."""
    path = run / FIGURES
    if not path.is_file():
        return None
    known = read_record(path, Figures)
    return known if known.get("fingerprint") == network.fingerprint() else None
