"""The fingerprint of a network: sha256 of the canonical bytes of everything that decides a spike."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from kdsnn.network.operators import Conv2d
from kdsnn.network.populations import Input

if TYPE_CHECKING:
    from kdsnn.network.network import Network

__all__ = ["fingerprint_of"]


def fingerprint_of(network: Network) -> str:
    """64 hexadecimal digits; name and provenance have no part in them."""
    digest = hashlib.sha256()
    for part in _canonical(network):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _canonical(network: Network) -> list[bytes]:
    header: dict[str, Any] = {"schema": "kdsnn.network/1", "timesteps": network.timesteps, "labels": network.labels}
    header["integer"] = network.integer
    parts = [json.dumps(header, sort_keys=True).encode()]
    for population in network.populations:
        record: dict[str, Any] = {"name": population.name, "shape": population.shape}
        model = population.model
        if isinstance(model, Input):
            in_time = {} if model.static else {"static": False}
            parts += [json.dumps(record | {"bits": model.bits} | in_time, sort_keys=True).encode()]
            continue
        record |= {
            "threshold": float(model.threshold),
            "bias_exponent": model.bias_exponent,
            "decay_u": float(model.decay_u),
            "decay_v": float(model.decay_v),
        }
        if not model.fires:
            record["fires"] = False
        if model.clips:
            record["clips"] = True
        if model.reset_by is not None:
            record["reset_by"] = float(model.reset_by)
        parts += [json.dumps(record, sort_keys=True).encode(), model.bias.astype("<f8").tobytes()]
    for projection in network.projections:
        op = projection.op
        record = {
            "source": projection.source,
            "target": projection.target,
            "exponent": projection.exponent,
            "kind": op.kind,
            "shape": op.weight.shape,
        }
        if isinstance(op, Conv2d):
            record |= {"stride": op.stride, "padding": op.padding, "dilation": op.dilation, "groups": op.groups}
        weight = op.weight.astype("<i2" if network.integer else "<f8")
        parts += [json.dumps(record, sort_keys=True).encode(), weight.tobytes()]
    return parts
