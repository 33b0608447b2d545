"""Limits: networks that Lava could not run exactly are refused, by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from lava_networks import everything, neurons

from kdsnn.network import Dense, Input, Network, Neuron, Population, Projection
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.registry import load_target


def with_a_shortcut() -> Network:
    """The output is reached over one projection, and over two."""
    one = np.ones((2, 2), dtype=np.int16)
    return Network(
        "shortcut",
        (Population("in", (2,), Input(1)), neurons("middle", (2,), 1), neurons("out", (2,), 1)),
        (
            Projection("in", "middle", Dense(one)),
            Projection("in", "out", Dense(one)),
            Projection("middle", "out", Dense(one)),
        ),
        4,
        ("a", "b"),
        True,
    )


def changed(network: Network, name: str, **fields: float) -> Network:
    """The network with another neuron model in one population."""

    def change(population: Population) -> Population:
        model = population.model
        if population.name != name or not isinstance(model, Neuron):
            return population
        return replace(population, model=replace(model, **fields))

    return replace(network, populations=tuple(change(p) for p in network.populations))


def test_a_network_of_every_feature_fits() -> None:
    assert LavaTarget().check(everything(timesteps=4, bits=4)) == []


def test_paths_of_unequal_length_are_refused() -> None:
    (violation,) = LavaTarget().check(with_a_shortcut())
    assert violation.where == "in->out"
    assert "relay" in violation.what
    assert "from depth 0 to depth 2" in violation.what


def test_state_that_could_overflow_is_refused() -> None:
    network = everything(timesteps=5, bits=8)
    (violation,) = LavaTarget().check(network)
    assert violation.where == "a"
    assert "clips" in violation.what


def test_a_decay_of_13_bits_is_refused() -> None:
    network = changed(everything(timesteps=4, bits=4), "c", decay_v=4096)
    assert [v.where for v in LavaTarget().check(network)] == ["c"]


def test_a_float_network_is_refused() -> None:
    network = with_a_shortcut()
    as_float = replace(
        network,
        integer=False,
        populations=(
            network.input,
            *(replace(p, model=Neuron(1.0, np.zeros(2), decay_u=1.0)) for p in network.spiking),
        ),
        projections=tuple(replace(p, op=Dense(np.ones((2, 2)))) for p in network.projections),
    )
    (violation,) = LavaTarget().check(as_float)
    assert "float" in violation.what


def test_it_is_registered_and_available() -> None:
    target = load_target("lava")
    assert isinstance(target, LavaTarget)
    availability = target.probe()
    assert availability.available
    assert "lava-nc 0.10.0 on Python 3.10" in availability.detail
