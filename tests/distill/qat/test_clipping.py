"""Fine-tuning sees the potentials clip as the hardware clips them."""

from dataclasses import replace

import numpy as np
import torch

from kdsnn.distill.qat.bounds import keep_in_bounds
from kdsnn.distill.qat.rounded_network import FoldedNet
from kdsnn.export.quantization.quantize import LayerQuantization, QuantizationReport
from kdsnn.network import Network, neuron_of
from kdsnn.network.overflow import overflows
from kdsnn.targets.reference import simulate
from kdsnn.testing.conformance import stimuli
from kdsnn.testing.networks import example_networks


def as_float(network: Network) -> Network:
    """The float network that an integer network is at scale one."""
    populations = [network.input]
    for population in network.spiking:
        neuron = neuron_of(population)
        bias = np.ldexp(neuron.bias.astype(float), neuron.bias_exponent - 6)
        model = replace(neuron, bias=bias, bias_exponent=0, decay_u=1.0, decay_v=0.0, clips=False)
        populations.append(replace(population, model=model))
    projections = tuple(
        replace(p, op=replace(p.op, weight=np.ldexp(p.op.weight.astype(float), p.exponent)), exponent=0)
        for p in network.projections
    )
    first = replace(projections[0], op=replace(projections[0].op, weight=projections[0].op.weight / 255))
    return replace(network, populations=tuple(populations), projections=(first, *projections[1:]), integer=False)


def test_the_forward_pass_of_a_population_that_clips_is_the_integer_networks() -> None:
    network = next(n for n in example_networks() if n.name == "clipping")
    layers = tuple(LayerQuantization(p.name, 1.0, 0, 0, 0.0, 0, "", 0.0, 0.0, 0.0) for p in network.spiking)
    net = FoldedNet(as_float(network), network, QuantizationReport(8, 1, (), layers, "max"))
    images = stimuli(network)
    with torch.no_grad():
        spikes = net(torch.from_numpy(images))
    for name, train in simulate(network, images)[0].items():
        np.testing.assert_array_equal(spikes[name].transpose(0, 1).numpy(), train, err_msg=name)
    assert net.to_integer()[0].fingerprint() == network.fingerprint()
    assert keep_in_bounds(net) == ()  # what clips need not be shrunk


def test_where_the_way_up_overflows_the_channel_that_goes_up_shrinks_and_not_the_one_that_falls() -> None:
    network = next(n for n in example_networks() if n.name == "clipping")
    layers = tuple(LayerQuantization(p.name, 1.0, 0, 0, 0.0, 0, "", 0.0, 0.0, 0.0) for p in network.spiking)
    net = FoldedNet(as_float(network), network, QuantizationReport(8, 1, (), layers, "max"))
    middle = net.weights["first->middle:"]
    with torch.no_grad():
        middle.parameter[1, 8:] = middle.limit
    assert list(overflows(net.to_integer()[0])) == ["middle"]
    assert keep_in_bounds(net) == ("middle",)
    before, after = (n.incoming("middle")[0].op.weight for n in (network, net.to_integer()[0]))
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert 119 < after[1, 8:].max() < 127
