"""The network on the mesh, synapse by synapse, and what is refused, by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kdsnn.errors import DoesNotFitError, TargetUnavailableError, UsageError
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.targets.fitting import ensure_runnable
from kdsnn.targets.placement.synapses import synapses
from kdsnn.targets.registry import load_target
from kdsnn.targets.sanafe import adapter, mapping
from kdsnn.targets.sanafe.adapter import SanafeTarget
from kdsnn.targets.sanafe.architecture import PORT_NEURONS, architecture, constants
from kdsnn.targets.sanafe.mapping import map_network, violations
from kdsnn.testing import example_networks
from tests import oracles

NETWORK = example_networks()[0]


def test_synapses_are_those_of_the_projection() -> None:
    rng = np.random.default_rng(0)
    ops = [
        (Conv2d(rng.integers(-3, 4, (6, 2, 3, 2)), (2, 1), (1, 2), (1, 2), 3), (6, 7, 5)),
        (Conv2d(rng.integers(-3, 4, (4, 3, 1, 1))), (3, 2, 2)),
        (Dense(rng.integers(-3, 4, (5, 12))), (3, 2, 2)),
    ]
    for op, shape in ops:
        projection = Projection("a", "b", op, exponent=2)
        sources, targets, weights = synapses(projection, shape)
        wanted = sorted(zip(*oracles.synapses(op, shape), strict=True))
        found = sorted(zip(targets.tolist(), sources.tolist(), weights.tolist(), strict=True))
        assert found == [(int(target), int(source), 4 * int(weight)) for target, source, weight in wanted]


def test_every_neuron_has_a_core_and_no_core_too_many() -> None:
    network = wide(3000)
    mapped = map_network(network, constants())
    assert mapped.ports == 3
    assert set(mapped.cores[0]) == {4, 5, 6}  # in the first tile, after its four cores
    everyone = np.concatenate(mapped.cores)
    assert np.bincount(everyone).max() <= PORT_NEURONS
    assert [len(cores) for cores in mapped.cores] == [p.neurons for p in network.populations]
    per_population = [set(cores) for cores in mapped.cores]
    assert len(set.union(*per_population)) == sum(map(len, per_population))  # none is shared
    text = architecture(constants(), used=mapped.used, ports=mapped.ports)
    assert text.count('"name": "core') == constants().cores + mapped.ports


def wide(neurons: int) -> Network:
    silent = np.zeros(neurons, dtype=np.int64)
    populations = (
        Population("in", (neurons, 1, 1), Input(1)),
        Population("middle", (neurons, 1, 1), Neuron(0, silent)),
        Population("out", (2,), Neuron(5, silent[:2])),
    )
    identity = Conv2d(np.ones((neurons, 1, 1, 1), dtype=np.int64), groups=neurons)
    projections = (
        Projection("in", "middle", identity),
        Projection("middle", "out", Dense(np.ones((2, neurons), dtype=np.int64))),
    )
    return Network("wide", populations, projections, 2, ("a", "b"), integer=True)


def test_constants_are_those_of_the_energy_model() -> None:
    values = constants()
    assert values.synapse == pytest.approx((23.6e-12, 3.5e-9))
    assert values.synchronization_s(1) == pytest.approx(113e-9)
    assert values.synchronization_s(32) == pytest.approx(465e-9)
    assert values.cores == 128


def test_paths_of_unequal_length_are_refused() -> None:
    one = np.ones((2, 2), dtype=np.int64)
    neuron = Neuron(1, np.zeros(2, dtype=np.int64))
    populations = (
        Population("in", (2,), Input(1)),
        Population("middle", (2,), neuron),
        Population("out", (2,), neuron),
    )
    pairs = [("in", "middle"), ("in", "out"), ("middle", "out")]
    projections = tuple(Projection(source, target, Dense(one)) for source, target in pairs)
    network = Network("shortcut", populations, projections, 4, ("a", "b"), integer=True)
    (violation,) = SanafeTarget().check(network)
    assert violation.where == "in->out"
    assert "on Loihi" in violation.what
    with pytest.raises(DoesNotFitError, match="does not fit target 'sanafe'"):
        SanafeTarget().compile(network)


def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(constants(), width=1, height=1)
    (violation,) = violations(NETWORK, small)
    assert violation.what == "needs 5 cores, and the chip has 4"
    monkeypatch.setattr(mapping, "MAX_SYNAPSES", 1000)
    (violation,) = SanafeTarget().check(NETWORK)
    assert violation.where == NETWORK.name
    assert "and 1,000 are the most" in violation.what


def test_float_networks_and_overflows_are_refused() -> None:
    neuron = Neuron(1.5, np.zeros(2), decay_u=1.0)
    populations = (Population("in", (2,), Input(1)), Population("out", (2,), neuron))
    projections = (Projection("in", "out", Dense(np.ones((2, 2)))),)
    (violation,) = SanafeTarget().check(Network("f", populations, projections, 2, ("a", "b"), integer=False))
    assert "float" in violation.what
    louder = replace(NETWORK.projections[0], exponent=7)
    found = SanafeTarget().check(replace(NETWORK, projections=(louder, *NETWORK.projections[1:])))
    assert any("could reach" in v.what for v in found)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "find_spec", lambda _: None)
    availability = SanafeTarget().probe()
    assert (availability.available, availability.hint) == (False, "pip install 'kdsnn[sanafe]'")
    with pytest.raises(TargetUnavailableError, match="not installed"):
        ensure_runnable(SanafeTarget(), NETWORK)
    with pytest.raises(TargetUnavailableError, match="not installed") as caught:
        SanafeTarget().compile(NETWORK)
    assert caught.value.exit_code == 6
    assert "kdsnn[sanafe]" in caught.value.hint


def test_unknown_timings_are_refused() -> None:
    with pytest.raises(UsageError, match="option 'timing' of target 'sanafe'"):
        load_target("sanafe", {"timing": "fast"})
