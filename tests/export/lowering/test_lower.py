"""Lowering: the float network fires exactly as the torch module does, and what cannot be carried is refused by name."""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

from kdsnn.errors import LoweringError
from kdsnn.export.lowering.lower import lower
from kdsnn.export.lowering.relays import balance
from kdsnn.models.neurons import IF, MultiStep, Normalize, Repeat
from kdsnn.network import Conv2d, Dense, Network
from tests.oracles import simulate_float

T = 3


def sequential(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict((f"{type(m).__name__.lower()}{i}", m) for i, m in enumerate(layers)))


def trained_norm(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Gives a BatchNorm the statistics and gains that training would."""
    with torch.no_grad():
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.05, 0.4)
        norm.weight.uniform_(0.5, 2.0)
        norm.bias.uniform_(-0.1, 0.6)
    return norm


def lowered(model: nn.Module, shape: tuple[int, int, int], classes: int) -> Network:
    return lower(model.eval(), input_shape=shape, timesteps=T, labels=[str(i) for i in range(classes)])


def output_of(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """The module's own output spikes, `(N, T, classes)`."""
    with torch.no_grad():
        folded = model.double().eval()(torch.from_numpy(images).double() / 255)
    return folded.reshape(T, len(images), -1).transpose(0, 1).numpy()


def images_of(shape: tuple[int, int, int], n: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *shape)).astype(np.uint8)


def assert_same_spikes(model: nn.Module, shape: tuple[int, int, int], classes: int) -> Network:
    """In float64 on both sides, where no potential lies within rounding of the threshold, the spikes are equal."""
    images = images_of(shape)
    network = lowered(model, shape, classes)
    expected = output_of(model, images)
    made = simulate_float(network, images)[network.output.name].reshape(expected.shape)
    assert 0.02 < expected.mean() < 0.98, "a silent or saturated net shows nothing"
    assert np.array_equal(made, expected)
    return network


def leaky(threshold: float) -> MultiStep:
    return MultiStep(T, snntorch.Leaky(beta=0.8, threshold=threshold, reset_mechanism="zero"))


def synaptic(threshold: float) -> MultiStep:
    cell = snntorch.Synaptic(alpha=0.6, beta=0.75, threshold=threshold, reset_mechanism="zero", reset_delay=False)
    return MultiStep(T, cell)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_the_papers_chain() -> None:
    model = sequential(
        nn.Conv2d(1, 6, 3, padding=1, bias=False),
        trained_norm(nn.BatchNorm2d(6)),
        Repeat(T),
        IF(T),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1, bias=False),
        trained_norm(nn.BatchNorm2d(8)),
        IF(T),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 9, 16, bias=False),
        IF(T, threshold=0.3),
        nn.Linear(16, 5, bias=False),
        IF(T, threshold=0.1),
    )
    network = assert_same_spikes(model, (1, 12, 12), 5)
    names = ["input", "if3", "maxpool2d4", "if7", "maxpool2d8", "if11", "if13"]
    assert [p.name for p in network.populations] == names
    bias = network.population("if7").model.bias.reshape(8, -1)
    assert (bias == bias[:, :1]).all()  # the same within a channel


@pytest.mark.parametrize("size", [8, 9])
def test_average_pooling_before_a_dense_layer(size: int) -> None:
    """A size that the pool does not divide loses its last row, in the module and in the network."""
    model = sequential(
        nn.Conv2d(2, 4, 3),
        Repeat(T),
        IF(T, threshold=0.2),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * ((size - 2) // 2) ** 2, 5),
        IF(T, threshold=0.1),
    )
    network = assert_same_spikes(model, (2, size, size), 5)
    assert [type(p.op) for p in network.projections] == [Conv2d, Dense]


def test_average_pooling_before_a_padded_convolution() -> None:
    model = sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        Repeat(T),
        IF(T, threshold=0.2),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.Flatten(),
        IF(T, threshold=0.1),
    )
    network = assert_same_spikes(model, (1, 8, 12), 6 * 2 * 3)
    assert network.projections[1].op.weight.shape == (6, 2, 6, 6)


def test_convolution_then_average_pooling() -> None:
    model = sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, dilation=2),
        trained_norm(nn.BatchNorm2d(4)),
        nn.AvgPool2d(2),
        Repeat(T),
        IF(T, threshold=0.3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
        IF(T, threshold=0.1),
    )
    assert_same_spikes(model, (2, 18, 18), 5)


def test_input_normalisation_is_exact_at_the_borders() -> None:
    model = sequential(
        Normalize((0.4, 0.6), (0.2, 0.3)),
        nn.Conv2d(2, 4, 3, padding=1),
        Repeat(T),
        IF(T, threshold=0.4),
        nn.Flatten(),
        nn.Linear(4 * 36, 5),
        IF(T, threshold=0.2),
    )
    network = assert_same_spikes(model, (2, 6, 6), 5)
    bias = network.spiking[0].model.bias.reshape(4, 6, 6)
    assert np.abs(bias[:, 0, 0] - bias[:, 3, 3]).min() > 1e-6  # zero padding meets a shifted zero point


def test_a_dense_net_on_pixels() -> None:
    model = sequential(
        nn.Flatten(), nn.Linear(16, 8), Repeat(T), IF(T, threshold=0.2), nn.Linear(8, 3), IF(T, threshold=0.1)
    )
    assert_same_spikes(model, (1, 4, 4), 3)


class Residual(nn.Module):
    """A block with a convolution in its shortcut, and one with the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.repeat, self.if1 = nn.Conv2d(1, 4, 3, padding=1), Repeat(T), IF(T, threshold=0.2)
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), trained_norm(nn.BatchNorm2d(4))
        self.shortcut, self.if2 = nn.Conv2d(4, 4, 1), IF(T, threshold=0.8)
        self.conv3, self.if3 = nn.Conv2d(4, 4, 3, padding=1), IF(T, threshold=0.8)
        self.flatten, self.linear, self.out = nn.Flatten(), nn.Linear(4 * 36, 5), IF(T, threshold=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.if1(self.repeat(self.stem(x)))
        x = self.if2(self.norm(self.conv(x)) + self.shortcut(x))
        x = self.if3(self.conv3(x) + x)
        return self.out(self.linear(self.flatten(x)))


def test_sums_merge_into_one_projection_a_pair() -> None:
    """Both paths of a sum come from one population: a 3x3 and a 1x1 kernel become one of 3x3."""
    network = assert_same_spikes(Residual(), (1, 6, 6), 5)
    assert [p.name for p in network.projections] == ["input->if1", "if1->if2", "if2->if3", "if3->out"]


def test_paths_that_are_no_one_convolution_are_one_matrix() -> None:
    model = Residual()
    model.conv, model.shortcut = nn.Conv2d(4, 4, 2, stride=2), nn.Sequential(nn.Conv2d(4, 4, 1), nn.AvgPool2d(3, 1))
    model.linear = nn.Linear(16, 5)
    network = assert_same_spikes(model, (1, 4, 4), 5)
    assert [type(p.op) for p in network.projections] == [Conv2d, Dense, Dense, Dense]


def test_linear_layers_in_a_row_are_one_projection() -> None:
    model = sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), Repeat(T), IF(T, threshold=0.1)),
        *(nn.AvgPool2d(4), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), IF(T, threshold=0.05)),
        *(nn.Flatten(), nn.Linear(16, 7), nn.Linear(7, 5), IF(T, threshold=0.1)),
    )
    network = assert_same_spikes(model, (1, 9, 9), 5)
    assert [type(p.op) for p in network.projections] == [Dense, Dense, Dense]


@pytest.mark.parametrize("kernel", [3, 4])
def test_padding_same(kernel: int) -> None:
    conv = nn.Conv2d(1, 4, kernel, padding="same", dilation=kernel - 2)
    model = sequential(conv, Repeat(T), IF(T, threshold=0.2), nn.Flatten(), nn.Linear(4 * 48, 5), IF(T, threshold=0.1))
    assert_same_spikes(model, (1, 8, 6), 5)


def test_a_bias_of_a_current_comes_from_a_steady_population() -> None:
    """In the first layer, where the image cannot wait for it, and in a deep one, without relays."""
    model = sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        trained_norm(nn.BatchNorm2d(4)),
        Repeat(T),
        synaptic(0.6),
        nn.Conv2d(4, 4, 3, padding=1),
        IF(T, threshold=0.2),
        nn.Flatten(),
        nn.Linear(4 * 48, 5),
        synaptic(0.3),
    )
    network = assert_same_spikes(model, (1, 8, 6), 5)
    assert network.steady == {"steady_multistep3", "steady_multistep8"}
    depths = [("multistep3", 1), ("multistep8", 3), ("steady_multistep3", 0), ("steady_multistep8", 2)]
    assert [(name, network.depths[name]) for name, _ in depths] == depths
    assert balance(network) is network


class Sum(nn.Module):
    """Two branches from the input into one population."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.repeat = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(1, 3, 5, padding=2), Repeat(T)
        self.left, self.right, self.joined = IF(T, threshold=0.3), IF(T, threshold=0.2), IF(T, threshold=0.5)
        self.c, self.d = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3)
        self.flatten, self.linear, self.out = nn.Flatten(), nn.Linear(2 * 16, 5), IF(T, threshold=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = self.left(self.repeat(self.a(x))), self.right(self.repeat(self.b(x)))
        return self.out(self.linear(self.flatten(self.joined(self.c(left) + self.d(right)))))


def test_sums_of_two_populations() -> None:
    network = assert_same_spikes(Sum(), (1, 6, 6), 5)
    assert [p.name for p in network.incoming("joined")] == ["left->joined", "right->joined"]


def chain_with(*layers: nn.Module) -> nn.Sequential:
    return sequential(nn.Conv2d(1, 2, 3), Repeat(T), *layers)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (chain_with(nn.ReLU(), IF(T)), "layer 'relu2' \\(ReLU\\) cannot be lowered"),
        (chain_with(nn.MaxPool2d(2), IF(T)), "its input is not spikes"),
        (chain_with(snntorch.Leaky(0.0, init_hidden=True)), "with beta 0 its reset 'subtract'"),
        (
            chain_with(snntorch.Leaky(torch.full((6,), 0.9).cumprod(0), reset_mechanism="zero")),
            "beta is not one number",
        ),
        (chain_with(snntorch.Synaptic(0.5, 0.9, reset_mechanism="zero")), "loses its input at the step after a spike"),
        (chain_with(snntorch.Leaky(1.0, reset_mechanism="zero", threshold=-1.0)), "not a positive number"),
        (chain_with(snntorch.Leaky(1.0, reset_mechanism="zero", graded_spikes_factor=2.0)), "graded spikes"),
        (chain_with(IF(T), nn.MaxPool2d(2, ceil_mode=True)), "ceil_mode"),
        (chain_with(IF(T), nn.AvgPool2d(2, ceil_mode=True)), "ceil_mode"),
        (chain_with(IF(T), nn.AdaptiveAvgPool2d(4), IF(T)), "does not divide"),
        (chain_with(IF(T), nn.Linear(6, 3), IF(T)), "put a Flatten before it"),
        (chain_with(IF(T), nn.Flatten(2), IF(T)), r"it makes \(T \* B, 2, 36\) of \(T \* B, 2, 6, 6\)"),
        (
            chain_with(IF(T), nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), IF(T)),
            "operation 'pad' with mode 'reflect'",
        ),
        (chain_with(nn.BatchNorm2d(2, track_running_stats=False), IF(T)), "no running statistics"),
        (chain_with(IF(T), nn.Conv2d(2, 2, 9), IF(T)), "leaves nothing of an image"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_cannot_be_carried_is_refused_by_name(model: nn.Module, message: str) -> None:
    with pytest.raises(LoweringError, match=message):
        lowered(model, (1, 8, 8), 3)


def test_training_mode_is_refused() -> None:
    with pytest.raises(LoweringError, match="training mode"):
        lower(chain_with(IF(T)).train(), input_shape=(1, 8, 8), timesteps=T, labels=["a"])


def test_a_weight_that_is_not_finite_is_refused() -> None:
    model = chain_with(IF(T))
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(LoweringError, match="not finite"):
        lowered(model, (1, 8, 8), 72)


def test_a_batch_norm_without_variance() -> None:
    norm = nn.BatchNorm2d(4)
    with torch.no_grad():
        norm.running_var.zero_()
        norm.weight.mul_(1e-3)
    model = sequential(
        nn.Conv2d(1, 4, 3), norm, Repeat(T), IF(T, threshold=0.1), nn.Flatten(), nn.Linear(64, 3), IF(T, threshold=0.1)
    )
    assert_same_spikes(model, (1, 6, 6), 3)


class Functional(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x)


def test_functional_operations_are_refused_by_name() -> None:
    with pytest.raises(LoweringError, match="operation 'relu'"):
        lowered(sequential(Functional()), (1, 4, 4), 16)


@pytest.mark.parametrize("neuron", [leaky, synaptic])
def test_leaky_and_current_based_neurons(neuron: Callable[[float], MultiStep]) -> None:
    bias = neuron is leaky
    layers = (nn.Conv2d(1, 4, 3, bias=bias), Repeat(T), neuron(0.25), nn.MaxPool2d(2), nn.Flatten())
    network = assert_same_spikes(sequential(*layers, nn.Linear(4 * 9, 5, bias=bias), neuron(0.1)), (1, 8, 8), 5)
    decays = network.output.model.decay_u, network.output.model.decay_v
    assert decays == pytest.approx((1.0, 0.2) if neuron is leaky else (0.4, 0.25))
    pool = network.population("maxpool2d3").model
    assert (pool.decay_u, pool.decay_v) == (1.0, 0.0)
