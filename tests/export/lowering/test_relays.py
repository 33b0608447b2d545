"""Relays make paths equally long and change no spike of any other population."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from kdsnn.errors import LoweringError
from kdsnn.evaluation import check_same
from kdsnn.export.lowering.lower import lower
from kdsnn.export.lowering.relays import balance
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.export.quantization.quantize import quantize
from kdsnn.models.neurons import IF, Repeat
from kdsnn.network import Conv2d, Network, Projection
from kdsnn.network.overflow import overflows
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.lava.limits import violations
from kdsnn.targets.placement.path_lengths import unequal_paths
from kdsnn.targets.reference import ReferenceTarget
from tests.oracles import simulate_float

T = 4


class PreActivation(nn.Module):
    """A stem and two pre-activation blocks: the last population hears every block before it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.repeat = nn.Conv2d(1, 4, 3, padding=1), Repeat(T)
        self.if1, self.if2, self.if3, self.if4, self.if5 = (IF(T, threshold=th) for th in (0.2, 0.3, 0.3, 0.3, 0.5))
        self.conv1, self.conv2, self.conv3, self.conv4 = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(4))
        self.pool, self.flatten = nn.AvgPool2d(2), nn.Flatten()
        self.linear, self.out = nn.Linear(36, 5), IF(T, threshold=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.if1(self.repeat(self.stem(x)))
        stream = self.conv2(self.if2(self.conv1(x)))
        stream = stream + self.conv4(self.if4(self.conv3(self.if3(stream))))
        x = self.if5(stream)
        return self.out(self.linear(self.flatten(self.pool(x))))


@pytest.fixture(scope="module")
def unbalanced() -> Network:
    return lower(PreActivation().eval(), input_shape=(1, 6, 6), timesteps=T, labels=list("abcde"))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, 1, 6, 6)).astype(np.uint8)


def test_only_what_is_needed_is_relayed(unbalanced: Network) -> None:
    network = balance(unbalanced)
    relays = [p.name for p in network.populations if p.relay]
    assert relays == ["if2_relay1", "if2_relay2"]
    depths = network.depths
    assert all(depths[p.target] == depths[p.source] + 1 for p in network.projections)
    assert balance(network) is network
    assert network.output is unbalanced.output


def test_a_population_that_feeds_itself_needs_no_relay(unbalanced: Network) -> None:
    name = "if2"
    shape = unbalanced.population(name).shape
    own = Projection(name, name, Conv2d(np.full((shape[0], shape[0], 1, 1), -0.1)))
    network = balance(replace(unbalanced, projections=(*unbalanced.projections, own)))
    assert [p.name for p in network.projections if p.recurrent] == ["if2->if2"]
    assert [p.name for p in network.populations if p.relay] == ["if2_relay1", "if2_relay2"]
    assert unequal_paths(network, "any") == []


def test_no_other_spike_changes(unbalanced: Network, images: np.ndarray) -> None:
    before, after = simulate_float(unbalanced, images), simulate_float(balance(unbalanced), images)
    for name, train in before.items():
        assert np.array_equal(after[name], train)
    assert np.array_equal(after["if2_relay2"], before["if2"])
    assert before["if5"].mean() > 0.02


def test_a_balanced_network_fits_lava_and_runs_everywhere(
    unbalanced: Network, images: np.ndarray, tmp_path: object
) -> None:
    assert "skips from depth" in str(violations(quantize(unbalanced)[0])[0])
    network, report = quantize(balance(unbalanced))
    assert violations(network) == []
    assert overflows(network) == {}
    assert {layer.name: layer.limited_by for layer in report.layers}["if2_relay1"] == "exact"
    reference = ReferenceTarget().compile(network).run(images, record="all")
    check_same(GpuTarget("cpu").compile(network).run(images, record="all"), reference)
    assert np.array_equal(reference.spikes["if2_relay2"], reference.spikes["if2"])
    totals = reference.counts.totals()
    assert totals["relay_neurons"] == 2 * 4 * 36
    assert totals["relay_spikes"] == 2 * reference.spikes["if2"].sum()
    assert totals["relay_synops_dense"] == totals["relay_spikes"]
    write_nir(network, tmp_path / "m.nir")
    assert [p.relay for p in read_nir(tmp_path / "m.nir").populations] == [p.relay for p in network.populations]


class TwoEntries(nn.Module):
    """The image enters at two depths."""

    def __init__(self) -> None:
        super().__init__()
        self.repeat, self.a, self.b, self.c = Repeat(T), nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv2d(1, 2, 1)
        self.if1, self.if2 = IF(T), IF(T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.repeat(x)
        return self.if2(self.b(self.if1(self.a(x))) + self.c(x))


def test_an_image_cannot_be_relayed() -> None:
    network = lower(TwoEntries().eval(), input_shape=(1, 3, 3), timesteps=T, labels=[str(i) for i in range(18)])
    with pytest.raises(LoweringError, match="images cannot be relayed"):
        balance(network)
