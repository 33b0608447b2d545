"""The membrane readout: an output that never fires, whose last potential is the score, on its whole way."""

from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from torch import nn

from kdsnn.choices import STUDENTS
from kdsnn.data.datasets import Split
from kdsnn.distill.qat.rounded_network import FoldedNet
from kdsnn.distill.qat.training import QatSettings, qat
from kdsnn.errors import NetworkError, VerificationError
from kdsnn.evaluation import check_same
from kdsnn.export.lowering.lower import lower
from kdsnn.export.nir import read_nir, to_nir, write_nir
from kdsnn.export.quantization.quantize import quantize
from kdsnn.models.students import build_student, is_copy
from kdsnn.network import MEMBRANE_SHIFT, NEVER, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.network.overflow import overflows
from kdsnn.recipes.schema import DistillSection, QatSection, QuantizeSection, StudentSection
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.onnx import OnnxTarget
from kdsnn.targets.reference import ReferenceTarget, simulate
from kdsnn.testing import integrating, random_network
from tests.export.foreign.foreign_graphs import chain, check, conv, fire, images, read, weights
from tests.oracles import simulate_float

FROM_SCRATCH = [name for name in STUDENTS if not is_copy(name)]
T = 4
CUBA = nir.CubaLI(*(np.ones(5) * x for x in (2e-3, 8e-3, 4.0, 0.2)), w_in=1.3)
LEAKY = nir.LI(np.ones(5) * 5e-3, np.ones(5) * 4.0, np.ones(5) * 0.3)
READOUTS = {"I": nir.I(np.ones(5)), "LI": LEAKY, "CubaLI": CUBA}


def graph_with(node: nir.NIRNode) -> nir.NIRGraph:
    affine = nir.Affine(weights(5, 3 * 48), np.linspace(-0.3, 0.3, 5))
    return chain(conv(3, 2, padding=1), fire(3, 8, 6), nir.Flatten(None, 0, -1), affine, node)


def student(model: str = "2conv") -> nn.Module:
    torch.manual_seed(0)
    sizes = {"channels": (4, 6), "hidden": 12} if model == "2conv" else {"width": 0.1}
    section = StudentSection(model=model, timesteps=T, readout="membrane", **sizes)
    return awake(build_student(section, (1, 8, 8), 5))


def awake(net: nn.Module) -> nn.Module:
    """A network that fires in all its layers, as a trained one does: statistics of images, and larger gains."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # plain means
                module.weight.fill_(1.5)
                module.bias.fill_(0.5)
            elif isinstance(module, nn.Linear):
                module.weight *= 6
        for _ in range(12):  # one layer after the other gets something to do
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.reset_running_stats()
            net.train()(torch.from_numpy(pixels(40)).float() / 255)
    return net.eval()


def lowered(net: nn.Module) -> Network:
    return lower(net.layers, input_shape=(1, 8, 8), timesteps=T, labels=tuple("abcde"))


def pixels(n: int = 20) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, 1, 8, 8)).astype(np.uint8)


@pytest.mark.parametrize("model", FROM_SCRATCH)
def test_every_student_has_one(model: str) -> None:
    """The potential after T steps is the sum of what the student puts out."""
    net = student(model).double()
    network = lowered(net)
    assert network.readout == "membrane"
    assert all(p.model.fires for p in network.spiking[:-1])
    with torch.no_grad():
        wanted = net(torch.from_numpy(pixels()).double() / 255).cumsum(dim=0).transpose(0, 1).numpy()
    assert wanted.std() > 1e-3
    np.testing.assert_allclose(simulate_float(network, pixels())[network.output.name], wanted, rtol=1e-9, atol=1e-12)


def test_quantized_its_scores_stay_close_and_every_target_reads_the_same() -> None:
    network = lowered(student())
    integer, report = quantize(network, calibration=pixels())
    assert overflows(integer) == {}
    assert integer.output.model.threshold == NEVER
    exact = simulate_float(network, pixels())[network.output.name][:, -1]
    result = ReferenceTarget().compile(integer).run(pixels())
    scores = result.potentials / 2**MEMBRANE_SHIFT * report.layers[-1].scale
    assert np.corrcoef(scores.ravel(), exact.ravel())[0, 1] > 0.9  # inner spikes differ by the rounding of weights
    np.testing.assert_array_equal(result.predictions, result.potentials.argmax(axis=1))
    assert not result.spikes["readout"].any()
    for target in (GpuTarget("cpu"), OnnxTarget(), OnnxTarget(flavour="int8")):
        check_same(
            target.compile(integer).run(pixels(), record="all"), ReferenceTarget().compile(integer).run(pixels())
        )


def test_without_inner_rounding_only_the_last_layer_errs() -> None:
    """One dense projection: its scores err by at most half a step of the weights for each pixel and step."""
    rng = np.random.default_rng(0)
    populations = (
        Population("input", (3,), Input(8)),
        Population("out", (3,), Neuron(np.inf, rng.normal(0, 5, 3), decay_u=1.0, fires=False)),
    )
    weight = rng.normal(0, 0.1, (3, 3))
    exact = Network("one", populations, (Projection("input", "out", Dense(weight)),), 1, tuple("abc"), integer=False)
    shown = rng.integers(0, 256, (30, 3)).astype(np.uint8)
    wanted = shown @ weight.T + populations[1].model.bias
    integer, report = quantize(exact, input_bits=8)
    layer = report.layers[0]
    assert layer.limited_by == "weight bits"
    assert layer.largest_weight == 127
    _, potentials = simulate(integer, shown)
    bound = layer.scale * (0.5 * shown.sum(axis=1).max() + 2.0 ** (layer.bias_exponent - MEMBRANE_SHIFT - 1))
    assert np.abs(potentials / 64 * layer.scale - wanted).max() < bound
    assert np.abs(wanted).max() > 20 * bound


@pytest.mark.parametrize("decays", [(4096, 0), (4096, 300), (1500, 300)], ids=["I", "LI", "CubaLI"])
def test_nir_says_it_by_its_own_nodes_and_it_comes_back(
    tmp_path: Path, decays: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    network, _ = quantize(lowered(student()))
    output = replace(network.output, model=replace(network.output.model, decay_u=decays[0], decay_v=decays[1]))
    network = replace(network, populations=(*network.populations[:-1], output))
    node = to_nir(network).nodes[network.output.name]
    assert type(node).__name__ == request.node.callspec.id
    write_nir(network, tmp_path / "m.nir")
    back = read_nir(tmp_path / "m.nir")
    assert back.fingerprint() == network.fingerprint()
    assert back.readout == "membrane"


@pytest.mark.parametrize("kind", READOUTS)
def test_foreign_readouts_are_carried(kind: str) -> None:
    network = check(graph_with(READOUTS[kind]))
    assert network.readout == "membrane"
    integer, _ = quantize(network, calibration=images())
    exact = simulate_float(network, images())[network.output.name][:, -1].argmax(axis=1)
    result = GpuTarget("cpu").compile(integer).run(images())
    assert (result.predictions == exact).mean() > 0.9
    assert (np.diff(result.potentials, axis=1) != 0).all()  # no ties: the predictions mean something


def test_a_tie_breaker_leaves_an_integrator_alone() -> None:
    assert read(graph_with(READOUTS["I"]), fires_at=">=").output.model.threshold == np.inf


def test_qat_learns_from_the_potentials_that_the_integer_network_has(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 5, 160)
    shown = rng.integers(0, 60, (160, 1, 8, 8))
    shown[np.arange(160), 0, labels] += 150
    split = Split(shown.astype(np.uint8), labels)
    network = lowered(student())
    section = QuantizeSection(input_bits=6, method="mse", qat=QatSection(epochs=4, lr=3e-2, batch_size=16))
    settings = QatSettings(section, distill=DistillSection(kind="none"))
    before, report = quantize(network, input_bits=6, method="mse")
    integer, trained_report = qat(network, settings, split, tmp_path, device="cpu")
    _, potentials = simulate(integer, split.images)
    _, earlier = simulate(before, split.images)
    right = (potentials.argmax(axis=1) == labels).mean()
    assert right > max(0.6, (earlier.argmax(axis=1) == labels).mean() + 0.2)

    net = FoldedNet(network, before, report)
    with torch.no_grad():
        rates = net.rates(torch.tensor(split.images)).numpy()
    np.testing.assert_allclose(rates, earlier / 64 * report.layers[-1].scale / T, rtol=1e-6)
    assert trained_report.layers[-1].scale == report.layers[-1].scale


def test_only_an_output_that_cannot_reach_its_threshold_never_fires() -> None:
    network = integrating(random_network(4, leaky=False))
    output = network.output
    for threshold, problem in ((5, "has threshold 5, not 131071"), (NEVER, None)):
        changed = replace(output, model=replace(output.model, threshold=threshold))
        populations = (*network.populations[:-1], changed)
        if problem is None:
            assert replace(network, populations=populations).readout == "membrane"
            continue
        with pytest.raises(NetworkError) as caught:
            replace(network, populations=populations)
        assert problem in str(caught.value.problems)
    inner = network.populations[1]
    silent = replace(inner, model=replace(inner.model, threshold=NEVER, fires=False))
    with pytest.raises(NetworkError) as caught:
        replace(network, populations=(network.input, silent, *network.populations[2:]))
    assert "never fires, and is not the output" in str(caught.value.problems)


def test_a_potential_that_could_reach_the_threshold_is_an_overflow() -> None:
    """The highest threshold lies 64 below the end of the state's range: a bias of 4095 << 7 gets there in 16 steps."""
    for steps, problem in ((15, None), (17, "fires above 8388544")):
        neuron = Neuron(NEVER, np.full(1, 4095), 7, fires=False)
        populations = (Population("input", (1,), Input(1)), Population("out", (1,), neuron))
        dense = Projection("input", "out", Dense(np.array([[1]])))
        network = Network("n", populations, (dense,), steps, ("a",), integer=True)
        assert (overflows(network) == {}) == (problem is None)
        if problem:
            assert problem in overflows(network)["out"]


def test_a_wrong_potential_is_found() -> None:
    network = integrating(random_network(4, leaky=False))
    shown = np.random.default_rng(0).integers(0, 256, (3, *network.input.shape)).astype(np.uint8)
    wanted = ReferenceTarget().compile(network).run(shown)
    wrong = wanted.potentials.copy()
    wrong[1, 2] += 1
    with pytest.raises(
        VerificationError, match=r"in the membrane potential of the output: first in image 11, neuron \(2,\)"
    ):
        check_same(replace(wanted, potentials=wrong), wanted, first_image=10)
    with pytest.raises(VerificationError, match="read membrane potentials none"):
        check_same(replace(wanted, potentials=None), wanted)
