"""Random networks of all kinds: reference, torch, ONNX Runtime and real Lava agree in every spike and count.

Residual and leaky ones are among them, and in half of the draws networks in time, with other resets and with
populations that feed themselves.

Hypothesis draws them, and shrinks one that fails. The long suite runs 300:
`uv run pytest -m long tests/targets/test_random_networks.py` (about ten minutes).
"""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from kdsnn.evaluation import check_same
from kdsnn.export.lowering.lower import lower
from kdsnn.export.lowering.relays import balance
from kdsnn.export.onnx.flavours import Flavour
from kdsnn.export.quantization.quantize import quantize
from kdsnn.models.wrn import PreActivationNet
from kdsnn.network import Network
from kdsnn.recipes.schema import StudentSection
from kdsnn.targets.fitting import violations
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.lava.environment import setup_environment
from kdsnn.targets.onnx import OnnxTarget
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.testing import random_images, random_network
from tests.oracles import carried, fan_out

KINDS = dict.fromkeys(("leaky", "residual", "integrates"), st.booleans())
TIME = {
    **dict.fromkeys(("in_time", "recurrent"), st.booleans()),
    "reset": st.sampled_from(["zero", "subtract", "none"]),
}
FLAVOURS: tuple[Flavour, Flavour] = ("float32", "int8")


def pre_activation_network(seed: int) -> Network:
    """A pre-activation student of random width, depth and T on images of random size, lowered, balanced, quantized."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    section = StudentSection(model="wrn16-2", timesteps=int(rng.integers(1, 5)))
    shape = (int(rng.integers(1, 4)), int(rng.integers(5, 10)), int(rng.integers(5, 10)))
    sizes = (int(rng.integers(2, 5)), int(rng.integers(3, 6)), int(rng.integers(4, 7)))
    student = PreActivationNet(section, shape[0], 5, sizes, int(rng.integers(1, 3)))
    with torch.no_grad():
        for module in student.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(2.0)
                module.bias.uniform_(-0.2, 0.8)
        student.linear.weight.mul_(8)
        for _ in range(20):
            student.train()(torch.rand(16, *shape))
    lowered = lower(student.eval(), input_shape=shape, timesteps=section.timesteps, labels=list("abcde"))
    return quantize(balance(lowered), weight_bits=int(rng.integers(3, 9)))[0]


def agree(network: Network, seed: int) -> int:
    """Runs one network on all of them, counts its SynOps by brute force, and gives the number of its spikes."""
    images = random_images(network, 4, seed)
    wanted = ReferenceTarget().compile(network).run(images, record="all")
    for target in (GpuTarget("cpu"), OnnxTarget(flavour=FLAVOURS[seed % 2]), LavaTarget()):
        assert not violations(target, network)
        check_same(target.compile(network).run(images, record="all"), wanted, target=target.name)
    for layer in wanted.counts.layers:
        synops = 0
        for projection in network.incoming(layer.name):
            source = network.population(projection.source)
            if source is network.input and network.input_bits > 1:
                continue  # graded messages make input MACs, not SynOps
            sent = carried(network, projection, images, wanted.spikes)
            synops += int((sent * fan_out(projection.op, source.shape)).sum())
        assert layer.synops_dense == synops
    return wanted.counts.total("spikes")


def spikes_of_drawn_networks(examples: int) -> list[int]:
    """Draws so many networks, the same in every run, has all of them agree, and gives the spikes of each."""
    spikes: list[int] = []

    @settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32 - 1), st.fixed_dictionaries(KINDS), st.one_of(st.just({}), st.fixed_dictionaries(TIME)))
    def draw(seed: int, kind: dict[str, bool], in_time: dict[str, Any]) -> None:
        spikes.append(agree(random_network(seed, **kind, **in_time), seed))

    setup_environment()
    draw()
    return spikes


def test_thirty_random_networks() -> None:
    spikes = spikes_of_drawn_networks(30)
    assert len(spikes) >= 30
    assert sum(s > 0 for s in spikes) >= 20  # most of them are awake


def test_five_pre_activation_networks() -> None:
    setup_environment()
    networks = [pre_activation_network(seed) for seed in range(5)]
    assert all(any(p.relay for p in network.populations) for network in networks)
    assert all(agree(network, seed) > 0 for seed, network in enumerate(networks))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_three_hundred_random_networks() -> None:
    spikes = spikes_of_drawn_networks(300)
    assert len(spikes) >= 300
    assert sum(s > 0 for s in spikes) >= 250


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_forty_pre_activation_networks() -> None:
    setup_environment()
    assert all(agree(pre_activation_network(seed), seed) > 0 for seed in range(1000, 1040))
