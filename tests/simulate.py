"""A plain simulator of float networks, for comparison."""

import numpy as np

from kdsnn.network import Network
from kdsnn.network.linear_maps import apply


def simulate_float(network: Network, images: np.ndarray) -> dict[str, np.ndarray]:
    """Spikes `(N, T, *shape)` of every population; of one that never fires, its potential at every step."""
    u = {p.name: np.zeros((len(images), *p.shape)) for p in network.spiking}
    v = {p.name: np.zeros((len(images), *p.shape)) for p in network.spiking}
    out = {p.name: np.zeros((len(images), network.timesteps, *p.shape), np.uint8) for p in network.spiking}
    out |= {p.name: out[p.name].astype(float) for p in network.spiking if not p.model.fires}
    for t in range(network.timesteps):
        sent = {network.input.name: images.reshape(-1, *network.input.shape).astype(np.float64)}
        for p in network.spiking:
            drive = sum(apply(q.op, sent[q.source]) for q in network.incoming(p.name))
            u[p.name] = (1 - p.model.decay_u) * u[p.name] + drive
            v[p.name] = (1 - p.model.decay_v) * v[p.name] + u[p.name] + p.model.bias.reshape(p.shape)
            fired = v[p.name] > p.model.threshold
            v[p.name] = np.where(fired, 0.0, v[p.name])
            out[p.name][:, t] = fired if p.model.fires else v[p.name]
            sent[p.name] = fired.astype(np.float64)
    return out
