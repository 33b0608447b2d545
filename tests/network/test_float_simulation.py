"""The float simulation, against values computed by hand."""

from dataclasses import replace

import numpy as np

from kdsnn.network import Dense, Input, Network, Neuron, Population, Projection, neuron_of
from kdsnn.network.float_simulation import simulate_float

PIXEL = np.full((1, 1, 1, 1), 10, dtype=np.uint8)


def one_neuron(neuron: Neuron, timesteps: int, weight: float = 0.1) -> Network:
    populations = (Population("input", (1, 1, 1), Input()), Population("out", (1,), neuron))
    projection = Projection("input", "out", Dense(np.array([[weight]])))
    return Network("one", populations, (projection,), timesteps, ("a",), integer=False)


def trains(network: Network) -> list[int]:
    return simulate_float(network, PIXEL).spikes["out"][0, :, 0].tolist()


def test_an_integrator_without_leak_fires_above_and_not_at_its_threshold() -> None:
    at = one_neuron(Neuron(2.0, np.zeros(1), decay_u=1.0, decay_v=0.0), 6)  # 1 a step: at 2.0 in the second
    assert trains(at) == [0, 0, 1, 0, 0, 1]
    assert simulate_float(at, PIXEL).near_threshold == {"out": 2}


def test_a_leak_and_a_current_decay() -> None:
    # u: 1, 1.5, 1.75; v: 1, 0.75 + 1.5 = 2.25, fires above 2; 1.75
    network = one_neuron(Neuron(2.0, np.zeros(1), decay_u=0.5, decay_v=0.25), 3)
    assert trains(network) == [0, 1, 0]
    assert simulate_float(network, PIXEL).potentials.tolist() == [[1.75]]


def test_a_bias_enters_the_potential_at_every_step() -> None:
    network = one_neuron(Neuron(3.0, np.array([0.6]), decay_u=1.0, decay_v=0.0), 4)
    assert trains(network) == [0, 1, 0, 1]  # 1.6, 3.2


def test_an_output_that_never_fires_keeps_its_potential() -> None:
    network = one_neuron(Neuron(np.inf, np.zeros(1), decay_u=1.0, decay_v=0.0, fires=False), 3)
    assert trains(network) == [0, 0, 0]
    assert simulate_float(network, PIXEL).potentials.tolist() == [[3.0]]


def test_spikes_reach_the_next_population_within_their_step() -> None:
    first = one_neuron(Neuron(0.5, np.zeros(1), decay_u=1.0, decay_v=0.0), 2)
    middle = Population("middle", (1,), neuron_of(first.output))
    network = replace(
        first,
        populations=(first.input, middle, first.output),
        projections=(
            Projection("input", "middle", first.projections[0].op),
            Projection("middle", "out", Dense(np.ones((1, 1)))),
        ),
    )
    assert trains(network) == [1, 1]
