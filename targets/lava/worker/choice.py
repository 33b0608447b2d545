"""Which process models run Lava's processes: ours, or Intel's own."""

from __future__ import annotations

from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIFReset
from neurons import FastLif
from synapses import FastConv, FastDense, StockConv, StockDense
from wide import LaneConv, LaneConvModel, LaneDense, LaneDenseModel

__all__ = ["process_models"]


def process_models(*, stock: bool) -> dict[type, type]:
    """What a run configuration takes as `exception_proc_model_map`. Those of Intel are wrapped only to be counted."""
    if stock:
        return {Conv: StockConv, Dense: StockDense}
    return {
        Conv: FastConv,
        Dense: FastDense,
        LIFReset: FastLif,
        LaneConv: LaneConvModel,
        LaneDense: LaneDenseModel,
    }
