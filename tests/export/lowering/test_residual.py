"""Where snnTorch's early subtraction can be carried: below twice the threshold in the worst case, and no further."""

import numpy as np
import pytest

from kdsnn.errors import LoweringError
from kdsnn.export.lowering.neuron_settings import check_residual
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection

THRESHOLD, WHITE = 0.8, 255


def network_of(kind: str, drive: float, bias: float, decay_u: float, decay_v: float, timesteps: int) -> Network:
    """Two layers; in the worst case so much drives some neuron of each at every step, and less the others."""
    shape = (2, 2, 3) if kind == "image" else (3,)
    biases = np.full(12 if kind == "image" else 3, -0.3)
    biases[-1] = bias
    neuron = Neuron(THRESHOLD, biases, decay_u=decay_u, decay_v=decay_v, reset_by=THRESHOLD)
    rest = drive - bias
    if kind == "image":
        channels = np.array([[0.5, -7.0], [0.25, 0.75]]) * rest  # the second has the most
        first, second = Conv2d(channels[:, :, None, None] / WHITE), Conv2d(channels[:, :, None, None])
        entering: tuple[int, ...] = (2, 2, 3)
    else:
        rows = np.array([[0.5, -7.0, 0.1], [-1.0, 0.0, 0.2], [0.75, -3.0, 0.25]]) * rest
        first, second = Dense(rows / WHITE), Dense(rows)
        entering = (3, 1, 1)
    populations = (
        Population("input", entering, Input(8)), Population("one", shape, neuron), Population("two", shape, neuron)
    )  # fmt: skip
    projections = (Projection("input", "one", first), Projection("one", "two", second))
    labels = tuple(map(str, range(len(biases))))
    return Network("worst", populations, projections, timesteps, labels, integer=False)


@pytest.mark.parametrize("kind", ["image", "vector"])
@pytest.mark.parametrize(("decay_u", "decay_v"), [(1.0, 0.0), (1.0, 0.25), (0.4, 0.1), (0.0, 0.5)])
@pytest.mark.parametrize("timesteps", [1, 2, 5])
@pytest.mark.parametrize("bias", [0.0, 0.02])
def test_the_worst_case_is_exact(kind: str, decay_u: float, decay_v: float, timesteps: int, bias: float) -> None:
    """All that excites comes at every step, and the potential before the last is as high as it can be unfired."""
    current = 0.0
    for _ in range(timesteps):
        current = (1 - decay_u) * current + 1.0  # of a drive of one
    room = 2 * THRESHOLD - (1 - decay_v) * THRESHOLD
    for share, safe in ((0.999, True), (1.001, False)):
        network = network_of(kind, share * room / current, bias, decay_u, decay_v, timesteps)
        for name in ("one", "two"):
            population = network.population(name)
            if safe:
                check_residual(network, population, WHITE)
            else:
                with pytest.raises(LoweringError, match=r"it could reach 2(\.\d+)? thresholds before"):
                    check_residual(network, population, WHITE)
