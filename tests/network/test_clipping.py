"""Populations that clip from below: what it means, what the bound still proves, and who may declare it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kdsnn.errors import NetworkError
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.network import Dense, Input, Network, Neuron, Population, Projection, neuron_of
from kdsnn.network.features import CLIPPING
from kdsnn.network.overflow import overflows
from kdsnn.targets.fitting import violations
from kdsnn.targets.reference import simulate
from kdsnn.targets.registry import load_target
from kdsnn.testing.networks import example_networks

WHITE = np.full((1, 1, 2, 2), 255, dtype=np.uint8)


@pytest.fixture
def network() -> Network:
    return next(n for n in example_networks() if n.name == "clipping")


def unclipped(network: Network) -> Network:
    middle = network.population("middle")
    plain = replace(middle, model=replace(neuron_of(middle), clips=False))
    return replace(network, populations=tuple(plain if p is middle else p for p in network.populations))


def test_a_potential_stays_at_the_lowest_value_and_comes_up_from_there(network: Network) -> None:
    train = simulate(network, WHITE)[0]["middle"][0, :, 0]
    assert (np.flatnonzero(train) + 1).tolist() == [1, 2, 3, 4, 13, 14]
    lost = simulate(unclipped(network), WHITE)[0]["middle"][0, :, 0]
    assert (np.flatnonzero(lost) + 1).tolist() == [1, 2, 3, 4]


def test_the_lowest_value_is_that_of_24_bits() -> None:
    """In 64ths of a weight unit, by hand: -(2**23 - 1) + 64 * 131,071 is -63, and one bias of 64 more is not enough."""
    neuron = Neuron(0, np.array([1]), 6, clips=True)
    populations = (Population("in", (2,), Input(1)), Population("out", (1,), neuron))

    def fires(bias: int) -> bool:
        out = replace(populations[1], model=replace(neuron, bias=np.array([bias]), bias_exponent=0))
        down = Dense(np.array([[-127, -127]]))
        made = Network("n", (populations[0], out), (Projection("in", "out", down, 7),), 300, ("a",), integer=True)
        x = np.zeros((1, 2), dtype=np.uint8)
        return bool(simulate(made, x)[0]["out"].any())

    assert not fires(0)
    assert fires(1)
    falling = Network(
        "falling", populations, (Projection("in", "out", Dense(np.array([[-127, -127]])), 7),), 9, ("a",), integer=True
    )
    _, potentials = simulate(falling, np.full((1, 2), 255, dtype=np.uint8))
    assert potentials.tolist() == [[-(2**23 - 1)]]


def test_only_the_fall_is_left_out_of_the_proof(network: Network) -> None:
    assert overflows(network) == {}
    assert "'middle'" in repr(overflows(unclipped(network)))
    middle = network.population("middle")
    high = replace(middle, model=replace(neuron_of(middle), threshold=10_000))
    grown = replace(network, populations=tuple(high if p is middle else p for p in network.populations))
    assert "potential could reach" in overflows(grown)["middle"]
    more = replace(network.projections[1], op=Dense(np.full((3, 16), -127)))
    wrapped = replace(network, projections=(network.projections[0], more, network.projections[2]))
    assert "current could reach" in overflows(wrapped)["middle"]


def test_it_is_a_feature_that_a_target_declares_or_refuses_by_name(network: Network) -> None:
    assert network.features == {CLIPPING}
    assert unclipped(network).features == frozenset()
    for name in ("reference", "gpu", "onnx", "lava"):
        assert violations(load_target(name, {}), network) == []
    (refused,) = violations(load_target("sanafe", {}), network)
    assert "uses 'clipping'" in str(refused)


def test_it_stands_in_the_file_and_in_the_fingerprint(network: Network, tmp_path: Path) -> None:
    write_nir(network, tmp_path / "clips.nir")
    assert neuron_of(read_nir(tmp_path / "clips.nir").population("middle")).clips
    assert unclipped(network).fingerprint() != network.fingerprint()


def test_float_networks_and_integrators_do_not_clip(network: Network) -> None:
    out = network.output
    reading = replace(out, model=replace(neuron_of(out), threshold=2**17 - 1, fires=False, clips=True))
    with pytest.raises(NetworkError, match="only integer populations that fire may"):
        replace(network, populations=(*network.populations[:-1], reading))
