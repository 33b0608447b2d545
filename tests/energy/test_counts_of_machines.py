"""Every count that an energy model charges: ours, each simulator's own, and that of every synapse by itself."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from kdsnn.data.datasets import load_dataset
from kdsnn.energy.models import TRAFFIC, Chip, Count, load_energy_model
from kdsnn.export.lowering.lower import lower
from kdsnn.export.lowering.relays import balance
from kdsnn.export.quantization.quantize import quantize
from kdsnn.hardware.limits import load_hardware
from kdsnn.models.students import build_student
from kdsnn.network import Network, neuron_of
from kdsnn.network.counters import FIELDS
from kdsnn.network.features import CLIPPING, LEAK
from kdsnn.recipes.schema import StudentSection
from kdsnn.steps.deployment import deployment
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.lava.environment import setup_environment
from kdsnn.targets.nengo_loihi.adapter import NengoLoihiTarget
from kdsnn.targets.nengo_loihi.environment import NENGO_LOIHI
from kdsnn.targets.placement.place import place
from kdsnn.targets.processes.environments import set_up
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.targets.sanafe.adapter import SanafeTarget
from tests import oracles
from tests.targets.placement.placing import core_numbers

DIGITS = load_dataset("digits").test
IMAGES = DIGITS.images[:5]
DEMO = StudentSection(model="2conv", channels=(6, 8), hidden=24)  # the demo's, narrow
VGG = StudentSection(model="vgg16", width=0.0625)  # thirteen convolutions, three pools, three dense layers


def network_of(section: StudentSection) -> Network:
    """Of a student that nobody trained, but whose norms have seen the digits: all of its layers fire."""
    torch.manual_seed(0)
    layers = build_student(section, (1, 8, 8), 10).layers
    for module in layers.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.bias, 0.5)
            module.momentum = None
        elif isinstance(module, nn.Linear):
            module.weight.data *= 4
    with torch.no_grad():
        layers.train()(torch.from_numpy(DIGITS.images[:64] / np.float32(255)))
    labels = [str(i) for i in range(10)]
    lowered = lower(layers.eval(), input_shape=(1, 8, 8), timesteps=section.timesteps, labels=labels)
    return quantize(balance(lowered), calibration=DIGITS.images[:32])[0]


def leaking(network: Network) -> Network:
    """The same, whose potentials lose a sixteenth at each step, but for those of its pools, which keep none."""
    spiking = [
        p if p.name.startswith("pool") else replace(p, model=replace(neuron_of(p), decay_v=256))
        for p in network.spiking
    ]
    return replace(network, populations=(network.input, *spiking))


def by_hand(network: Network, trains: dict[str, np.ndarray], name: str) -> dict[str, int]:
    """The counts of one layer, by its synapses one after another."""
    neuron = next(p.model for p in network.populations if p.name == name)
    updates = trains[name].size
    found = dict.fromkeys(FIELDS, 0) | {"spikes": int(trains[name].sum()), "neuron_updates": updates}
    found["leak_updates"] = updates if 0 < neuron.decay_v < oracles.UNITY else 0
    assert neuron.decay_u == oracles.UNITY  # no current lasts
    for projection in network.projections:
        if projection.target == name:
            sent = oracles.carried(network, projection, IMAGES, trains)
            dense, effective = (
                int((sent * oracles.fan_out(projection.op, sent.shape, zero_weights=z)).sum()) for z in (True, False)
            )
            graded = projection.source == network.input.name
            found["input_macs" if graded else "synops_dense"] += dense
            found["input_macs_effective" if graded else "synops_effective"] += effective
    return found


def traffic_by_hand(network: Network, chip: Chip, trains: dict[str, np.ndarray]) -> np.ndarray:
    """Messages, and hops east or west and north or south, of all images, for where the placement puts each neuron."""
    cores = core_numbers(place(network, load_hardware(chip.hardware)), network)
    found = np.zeros(3)
    for projection in network.projections:
        sent = oracles.carried(network, projection, IMAGES, trains)
        where = cores[projection.source], cores[projection.target]
        found += oracles.messages(projection.op, sent.shape, sent.reshape(-1), where)
    return found


@pytest.mark.parametrize("what", ["demo", "demo, leaking", "vgg"])
def test_all_count_alike(what: str) -> None:
    setup_environment()
    set_up(NENGO_LOIHI)
    network = network_of(VGG if what == "vgg" else DEMO)
    if what == "demo, leaking":
        network = leaking(network)
    assert (LEAK in network.features) == (what == "demo, leaking")
    assert CLIPPING not in network.features  # SANA-FE refuses it
    assert network.input_bits > 1  # grey levels enter

    trains, _ = oracles.simulate_integer(network, IMAGES)
    layers = {p.name: by_hand(network, trains, p.name) for p in network.spiking}
    assert all(counts["spikes"] > 0 for counts in layers.values())
    summed = {field: sum(counts[field] for counts in layers.values()) for field in FIELDS}
    assert 0 < summed["synops_effective"] < summed["synops_dense"]  # some weights are zero

    results = {
        t.name: t.compile(network).run(IMAGES)
        for t in (ReferenceTarget(), LavaTarget(), NengoLoihiTarget(), SanafeTarget())
    }
    assert list(results) == ["reference", "lava", "nengo-loihi", "sanafe"]
    for target, result in results.items():
        assert result.counts.samples == len(IMAGES)
        assert {x.name: {f: getattr(x, f) for f in FIELDS} for x in result.counts.layers} == layers, target

    chip = load_energy_model("loihi1").chip
    assert chip is not None
    messages, east_west, north_south = traffic_by_hand(network, chip, trains)
    assert messages > north_south > 0
    assert (east_west > 0) == (what == "vgg")  # the demo's lies on one column of tiles
    notes = results["sanafe"].notes  # Lava simulates no mesh
    assert (notes["messages"], notes["hops"]) == (messages, east_west + north_south)
    spikes = {name: train.sum(axis=(0, 1), dtype=np.int64) for name, train in trains.items()}
    traffic = deployment(network, chip, IMAGES, results["reference"].counts, spikes).traffic.values()
    ours = [sum(getattr(each, field) for each in traffic) * len(IMAGES) for field in TRAFFIC]
    np.testing.assert_allclose(ours, [messages, east_west, north_south], rtol=1e-12)  # ours are means of samples


def test_no_count_of_an_energy_model_is_left_out() -> None:
    assert set(get_args(Count)) == {*FIELDS, *TRAFFIC, "silent_updates"}  # the last is updates less spikes
