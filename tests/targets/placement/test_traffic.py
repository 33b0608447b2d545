"""What cores of a placed network do, against an enumeration of every synapse."""

import numpy as np
import pytest

from kdsnn.energy.models import load_energy_model
from kdsnn.hardware.limits import Hardware, load_hardware
from kdsnn.network import Network
from kdsnn.network.counters import Counts
from kdsnn.steps.deployment import deployment
from kdsnn.targets.placement.place import place
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.testing import example_networks, random_images
from tests import oracles
from tests.targets.placement.placing import core_numbers

CHIP = load_energy_model("loihi1").chip
IMAGES = 3


def ran(network: Network) -> tuple[np.ndarray, Counts, dict[str, np.ndarray]]:
    images = random_images(network, IMAGES)
    result = ReferenceTarget().compile(network).run(images, record="all")
    spikes = {n: t.reshape(-1, network.population(n).neurons).sum(axis=0, dtype=int) for n, t in result.spikes.items()}
    return images, result.counts, spikes


def small_cores(neurons: int) -> Hardware:
    """Loihi 1 with so few neurons on a core that a small network takes many."""
    hardware = load_hardware("loihi1")
    given = (
        limit.model_copy(update={"value": neurons}) if limit.name == "neurons" else limit for limit in hardware.given
    )
    return hardware.model_copy(update={"given": tuple(given)})


@pytest.mark.parametrize("neurons", [1024, 6])
@pytest.mark.parametrize("network", example_networks(), ids=lambda n: n.name)
def test_messages_hops_and_work_are_those_of_every_synapse(
    network: Network, neurons: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CHIP is not None
    monkeypatch.setattr("kdsnn.steps.deployment.load_hardware", lambda _: small_cores(neurons))
    images, counts, spikes = ran(network)
    found = deployment(network, CHIP, images, counts, spikes)
    placement = place(network, small_cores(neurons))
    cores = core_numbers(placement, network)
    shown = (images >> (8 - network.input_bits) > 0).reshape(-1, network.input.neurons).sum(axis=0)
    shown *= network.timesteps if images.ndim == 1 + len(network.input.shape) else 1  # frames are shown once
    sent = {**spikes, network.input.name: shown}
    synops = np.zeros(placement.cores)
    for population in network.spiking:
        traffic_by_hand = np.zeros(3)
        for projection in network.incoming(population.name):
            shape = network.population(projection.source).shape
            targets, sources, _ = oracles.synapses(projection.op, shape)
            emitted = sent[projection.source].astype(float)
            if projection.source == projection.target:
                emitted *= 1 - 1 / network.timesteps  # of the last step's, which never arrive, a mean is taken off
            where = cores[projection.source], cores[population.name]
            np.add.at(synops, where[1][targets], emitted[sources])
            traffic_by_hand += oracles.messages(projection.op, shape, emitted, where)
        messages, east_west, north_south = traffic_by_hand
        traffic = found.traffic[population.name]
        assert traffic.messages * IMAGES == pytest.approx(messages)
        if placement.chips > 1:  # between chips nothing is known
            east_west = north_south = 0
        assert traffic.hops_east_west * IMAGES == pytest.approx(east_west)
        assert traffic.hops_north_south * IMAGES == pytest.approx(north_south)
    steps = IMAGES * network.timesteps
    assert [work.synops * steps for work in found.cores] == pytest.approx(synops.tolist())
    total = sum(layer.synops_dense + layer.input_macs for layer in counts.layers)
    if all(p.source != p.target for p in network.projections):
        assert sum(work.synops for work in found.cores) * steps == pytest.approx(total)
    assert sum(work.spikes for work in found.cores) * steps == pytest.approx(counts.total("spikes"))
    assert sum(work.updates for work in found.cores) * steps == counts.total("neuron_updates")
    assert (found.timesteps, found.depth) == (network.timesteps, network.depths[network.output.name])
    assert not found.even


def test_where_each_neurons_spikes_are_not_known_a_layers_are_spread_evenly() -> None:
    assert CHIP is not None
    network = example_networks()[0]
    images, counts, spikes = ran(network)
    exact = deployment(network, CHIP, images, counts, spikes)
    found = deployment(network, CHIP, images, counts, None)
    assert found.even
    assert sum(work.spikes for work in found.cores) == pytest.approx(sum(work.spikes for work in exact.cores))
    first = network.spiking[0].name
    assert found.traffic[first] == exact.traffic[first]  # the image's messages are known
