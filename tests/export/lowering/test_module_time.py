"""snnTorch's neurons as they come, against its own loop: resets, neurons that feed themselves, frames in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

from kdsnn.errors import LoweringError
from kdsnn.export.lowering.lower import Lowered, lower_module
from kdsnn.export.lowering.module_agreement import check_module, trial_images
from tests.oracles import simulate_float

T, IMAGES, HIDDEN, CLASSES = 9, 8, 7, 4
SHAPES: dict[str, tuple[int, ...]] = {"vector": (10,), "image": (2, 5, 6)}
LOOPS = (snntorch.RLeaky, snntorch.RSynaptic)


def spike(v: torch.Tensor) -> torch.Tensor:
    return (v > 0).to(v.dtype)


class Net(nn.Module):
    """One layer of the neurons that are looked at, and one of snnTorch's default behind it."""

    def __init__(self, neuron: Any, kind: str = "vector", *, in_time: bool = False, gain: float = 4.0) -> None:
        super().__init__()
        self.neuron, self.in_time = neuron, in_time
        self.first: nn.Module = nn.Conv2d(2, 3, 3, padding=1) if kind == "image" else nn.Linear(10, HIDDEN)
        self.last = nn.Linear(90 if kind == "image" else HIDDEN, CLASSES)
        self.out = snntorch.Leaky(0.8, threshold=0.3, spike_grad=spike)
        with torch.no_grad():
            for layer in (self.first, self.last):
                layer.weight.mul_(gain)
        self.double().eval()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        state, mem = self.neuron.reset_mem(), self.out.reset_mem()
        state = list(state) if isinstance(state, tuple) else [state]
        hidden, spikes = [], []
        for step in range(len(x) if self.in_time else T):
            spk, *kept = self.neuron(self.first(x[step] if self.in_time else x), *state)
            state = [spk, *kept] if isinstance(self.neuron, LOOPS) else kept
            out, mem = self.out(self.last(spk.flatten(1)), mem)
            hidden.append(spk)
            spikes.append(out)
        return torch.stack(spikes), torch.stack(hidden)


def lowered(net: nn.Module, shape: tuple[int, ...], *, in_time: bool = False) -> Lowered:
    return lower_module(net, input_shape=shape, timesteps=T, labels=None, in_time=in_time)


def assert_same_spikes(net: nn.Module, shape: tuple[int, ...], *, in_time: bool = False) -> Lowered:
    """snnTorch computes; the network is simulated by the oracle."""
    made = lowered(net, shape, in_time=in_time)
    images = trial_images((T, *shape) if in_time else shape, IMAGES)
    pixels = torch.from_numpy(images).double() / 255
    with torch.no_grad():
        out, hidden = net(pixels.transpose(0, 1) if in_time else pixels)
    trains = simulate_float(made.network, images)
    assert hidden.any()
    assert not hidden.all()
    assert out.any()
    wanted = hidden.transpose(0, 1).numpy()
    np.testing.assert_array_equal(wanted, trains["neuron"].reshape(wanted.shape))
    np.testing.assert_array_equal(out.transpose(0, 1).numpy(), trains["out"])
    assert check_module(net, made, made.network, images).output_spikes == int(out.sum())
    return made


NEURONS: dict[str, Callable[..., Any]] = {
    "Leaky": lambda **said: snntorch.Leaky(0.9, **said),
    "Synaptic": lambda **said: snntorch.Synaptic(0.6, 0.8, **said),
    "RLeaky": lambda **said: snntorch.RLeaky(0.9, linear_features=HIDDEN, **said),
    "RSynaptic": lambda **said: snntorch.RSynaptic(0.6, 0.8, linear_features=HIDDEN, **said),
}


@pytest.mark.parametrize("reset", ["subtract", "none", "zero"])
@pytest.mark.parametrize("kind", NEURONS)
def test_a_reset_is_carried_as_it_comes(kind: str, reset: str) -> None:
    torch.manual_seed(1)
    neuron = NEURONS[kind](reset_mechanism=reset, threshold=0.4, spike_grad=spike)
    if reset == "zero" and kind != "Leaky":
        with pytest.raises(LoweringError, match=rf"layer 'neuron' \({kind}\).*it loses its input at the step after"):
            lowered(Net(neuron), SHAPES["vector"])
        return
    network = assert_same_spikes(Net(neuron), SHAPES["vector"]).network
    model = network.population("neuron").model
    taken = {"subtract": 0.4 / float(neuron.beta), "none": 0.0, "zero": None}[reset]
    assert model.reset_by == (taken if taken is None else pytest.approx(taken, rel=1e-6))
    assert ("recurrence" in network.features) == isinstance(neuron, LOOPS)


@pytest.mark.parametrize(("kind", "reset"), [(k, r) for k in ("Leaky", "Synaptic", "RLeaky") for r in ("zero", "none")])
def test_an_early_reset_is_carried(kind: str, reset: str) -> None:
    torch.manual_seed(2)
    neuron = NEURONS[kind](reset_mechanism=reset, reset_delay=False, threshold=0.4, spike_grad=spike)
    assert_same_spikes(Net(neuron), SHAPES["vector"])


@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "RLeaky"])
def test_an_early_subtraction_is_carried_where_no_residual_can_fire(kind: str) -> None:
    torch.manual_seed(3)
    neuron = NEURONS[kind](reset_delay=False, threshold=1.0, spike_grad=spike)
    net = Net(neuron, gain=1.0)
    with torch.no_grad():
        for layer in (net.first, *([neuron.recurrent] if kind == "RLeaky" else [])):
            layer.weight.abs_()
            layer.weight.mul_(0.3 / layer.weight.sum(1, keepdim=True))  # all drives stay below 0.3, or 0.6 together
            layer.bias.zero_()
        net.last.weight.mul_(8)
    network = assert_same_spikes(net, SHAPES["vector"]).network
    assert network.population("neuron").model.reset_by == 1
    with torch.no_grad():
        net.first.bias.fill_(1.5)
    with pytest.raises(LoweringError, match=r"above the threshold still after a spike.*and 2 are safe"):
        lowered(net, SHAPES["vector"])


def test_an_early_reset_of_a_synaptic_loop_is_refused() -> None:
    neuron = NEURONS["RSynaptic"](reset_delay=False)
    with pytest.raises(LoweringError, match="snnTorch does not reset it with reset_delay=False"):
        lowered(Net(neuron), SHAPES["vector"])


CHANNELS = torch.linspace(0.3, 0.6, 3).reshape(3, 1, 1)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("vector", {"all_to_all": False, "V": 0.35}),
        ("vector", {"all_to_all": False, "V": torch.linspace(-0.4, 0.5, HIDDEN)}),
        ("vector", {"linear_features": HIDDEN, "threshold": torch.linspace(0.3, 0.6, HIDDEN)}),
        ("image", {"conv2d_channels": 3, "kernel_size": 3}),
        (
            "image",
            {"conv2d_channels": 3, "kernel_size": (3, 1), "threshold": CHANNELS},
        ),
        ("image", {"all_to_all": False, "V": CHANNELS - 0.5}),
    ],
)
@pytest.mark.parametrize("in_time", [False, True])
def test_neurons_that_feed_themselves(kind: str, settings: dict[str, Any], in_time: bool) -> None:
    torch.manual_seed(4)
    neuron = snntorch.RLeaky(0.9, spike_grad=spike, **{"threshold": 0.4} | settings)
    network = assert_same_spikes(Net(neuron, kind, in_time=in_time), SHAPES[kind], in_time=in_time).network
    own = [p for p in network.projections if p.recurrent]
    assert [p.name for p in own] == ["neuron->neuron"]
    assert own[0].op.kind == ("conv2d" if kind == "image" else "dense")
    assert network.static != in_time


def test_a_weight_for_each_cell_of_an_image_is_refused() -> None:
    neuron = snntorch.RLeaky(0.9, all_to_all=False, V=torch.rand(3, 5, 6), spike_grad=spike)
    with pytest.raises(LoweringError, match="is no convolution of it"):
        lowered(Net(neuron, "image"), SHAPES["image"])


class Written(nn.Module):
    """A recurrence that is written by hand; at the first step there are no spikes, and the bias is there."""

    def __init__(self, *, bias_at_first: bool = True, source: str = "own") -> None:
        super().__init__()
        self.first, self.loop, self.last = nn.Linear(10, HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.norm = nn.BatchNorm1d(HIDDEN)
        self.neuron, self.out = (snntorch.Leaky(0.9, threshold=0.4, spike_grad=spike) for _ in range(2))
        self.bias_at_first, self.source = bias_at_first, source
        with torch.no_grad():
            for layer in (self.first, self.last):
                layer.weight.mul_(4)
            self.norm.running_mean.uniform_(-0.3, 0.3)
            self.norm.bias.uniform_(-0.2, 0.4)
        self.double().eval()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mem, mem2, made, hidden = self.neuron.reset_mem(), self.out.reset_mem(), [], []
        before = {"own": x.new_zeros(len(x), HIDDEN), "other": x.new_zeros(len(x), HIDDEN)}
        for step in range(T):
            drive = self.first(x)
            if step or self.bias_at_first:
                drive = drive + self.loop(before[self.source])
            spk, mem = self.neuron(self.norm(drive), mem)
            out, mem2 = self.out(self.last(spk), mem2)
            before = {"own": spk, "other": out}
            made.append(out)
            hidden.append(spk)
        return torch.stack(made), torch.stack(hidden)


def test_a_loop_that_is_written_by_hand() -> None:
    torch.manual_seed(5)
    network = assert_same_spikes(Written(), SHAPES["vector"]).network
    assert [p.name for p in network.projections if p.recurrent] == ["neuron->neuron"]


def test_a_bias_that_is_missing_at_the_first_step_is_refused() -> None:
    with pytest.raises(LoweringError, match="what drives it is not the same at each time step"):
        lowered(Written(bias_at_first=False), SHAPES["vector"])


def test_a_loop_over_two_populations_is_refused_by_name() -> None:
    with pytest.raises(LoweringError, match="'out' reach it one time step late") as raised:
        lowered(Written(source="other"), SHAPES["vector"])
    assert "longer delays and loops cannot be lowered" in str(raised.value)


def frame_by_frame() -> nn.Sequential:
    """As snnTorch's tutorials on events write it: the loop over the frames stands outside."""
    torch.manual_seed(6)
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3),
        snntorch.Leaky(0.7, init_hidden=True, threshold=0.3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, HIDDEN),
        snntorch.RLeaky(0.8, linear_features=HIDDEN, init_hidden=True, threshold=0.2),
        nn.Linear(HIDDEN, CLASSES),
        snntorch.Leaky(0.7, init_hidden=True, output=True, threshold=0.2),
    )
    with torch.no_grad():
        for layer in (net[0], net[4], net[6]):
            layer.weight.mul_(4)
    return net.eval()


def test_frames_that_a_module_is_shown_one_by_one() -> None:
    net, shape = frame_by_frame(), (2, 7, 6)
    made = lowered(net, shape, in_time=True)
    assert made.once_a_step
    assert not made.network.static
    assert made.network.image_shape == (T, *shape)
    images = trial_images((T, *shape), IMAGES)
    for layer in net:
        if isinstance(layer, snntorch.SpikingNeuron):
            layer.reset_mem()
    with torch.no_grad():
        wanted = torch.stack([net(torch.from_numpy(images[:, step]).float() / 255)[0] for step in range(T)], 1)
    trains = simulate_float(made.network, images)
    np.testing.assert_array_equal(wanted.numpy(), trains["7"])
    assert wanted.any()
    assert check_module(net, made, made.network, images).output_spikes == int(wanted.sum())


def test_frames_need_a_number_of_steps() -> None:
    with pytest.raises(LoweringError, match="images in time have a number of steps"):
        lower_module(frame_by_frame(), input_shape=(2, 7, 6), timesteps=None, labels=None, in_time=True)


def test_frames_that_are_taken_for_one_image_say_what_to_do() -> None:
    net = Net(NEURONS["Leaky"](), in_time=True)
    with pytest.raises(LoweringError, match="it takes the images of a batch apart") as raised:
        lowered(net, SHAPES["vector"])
    assert "in_time=True" in str(raised.value)


def test_what_is_wrong_with_frames_at_once_is_said_of_them() -> None:
    class Clipped(Net):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return super().forward(x.clamp(0, 1))

    with pytest.raises(LoweringError, match="'clamp'"):
        lowered(Clipped(NEURONS["Leaky"](), in_time=True), SHAPES["vector"], in_time=True)


class Ordered(nn.Module):
    """Takes the frames that it is told, in that order."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.order, self.fc, self.lif = order, nn.Linear(10, CLASSES), snntorch.Leaky(0.8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem, out = self.lif.reset_mem(), []
        for step in self.order:
            spk, mem = self.lif(self.fc(x[step]), mem)
            out.append(spk)
        return torch.stack(out)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (range(1, T), "at its step 1 it is driven by frames of step 2"),
        (range(0, T, 2), "at its step 2 it is driven by frames of step 3"),
        (reversed(range(T)), f"at its step 1 it is driven by frames of step {T}"),
    ],
)
def test_frames_that_are_left_out_or_turned_round_are_called_frames(order: Iterable[int], message: str) -> None:
    with pytest.raises(LoweringError, match=message) as raised:
        lowered(Ordered(list(order)).eval(), (10,), in_time=True)
    assert "take every frame once, from the first to the last" in str(raised.value)
