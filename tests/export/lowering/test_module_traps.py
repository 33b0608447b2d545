"""What changes a module without changing the names of its layers: exact, refused by name, or found by measurement."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
import torch.nn.functional as F
from torch import nn

from kdsnn.errors import InputError, LoweringError, VerificationError
from kdsnn.export.lowering.lower import Lowered, lower_module
from kdsnn.export.lowering.module_agreement import check_module, trial_images
from kdsnn.models.neurons import IF, Repeat
from tests.export.lowering.small_nets import SHAPE, Net, T, leaky, lowered, measured


@contextmanager
def removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


def test_a_hook_on_all_modules_is_what_it_does() -> None:
    def hook(layer: nn.Module, _args: Any, output: Any) -> Any:
        return 0.5 * output if isinstance(layer, nn.Conv2d) else None

    net = Net()
    plain = lowered(net).network
    with removed(nn.modules.module.register_module_forward_hook(hook)):
        hooked = lowered(net).network
        assert measured(net).output_spikes > 0
    np.testing.assert_allclose(hooked.projections[0].op.weight, 0.5 * plain.projections[0].op.weight)


def test_a_pre_hook_on_all_modules_is_what_it_does() -> None:
    def hook(layer: nn.Module, args: Any) -> Any:
        return (args[0] * 2,) if isinstance(layer, nn.Linear) else None

    net = Net()
    plain = lowered(net).network
    with removed(nn.modules.module.register_module_forward_pre_hook(hook)):
        hooked = lowered(net).network
        assert measured(net).output_spikes > 0
    np.testing.assert_allclose(hooked.projections[1].op.weight, 2 * plain.projections[1].op.weight)


def test_what_a_module_was_given_is_given_back() -> None:
    """Tracing and measuring leave no hook, no forward and no state behind."""
    net = Net().eval()
    net(torch.zeros(3, *SHAPE))
    kept = net.lif1.mem
    before = {layer: dict(vars(layer)) for layer in net.modules()}
    measured(net)
    for layer, attributes in before.items():
        assert vars(layer).keys() == attributes.keys()
        assert all(value is attributes[name] for name, value in vars(layer).items())
    assert net.lif1.mem is kept
    assert not net.lif1._forward_hooks


def own_forward(net: Net) -> None:
    plain = net.lif1.forward
    net.lif1.forward = lambda x, mem=None: plain(2 * x, mem)


def own_fire(net: Net) -> None:
    net.lif1.fire = lambda mem: (mem > 0.1).float()


def own_gradient(net: Net) -> None:
    net.lif1.spike_grad = lambda x: (x >= 0).float()


def own_state(net: Net) -> None:
    net.lif1.state_function = lambda x: net.lif1.mem + x


def changed_reset(net: Net) -> None:
    net.lif1 = snntorch.Leaky(0.9, reset_mechanism="subtract", reset_delay=False)
    net.lif1.reset_mechanism = "zero"


def loaded_reset(net: Net) -> None:
    net.lif1 = leaky(reset_delay=False)
    net.lif1.reset_mechanism_val.fill_(0)


def training(net: Net) -> None:
    net.fc.train()


def compiled(net: Net) -> None:
    net.conv = torch.jit.script(net.conv)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (own_forward, r"layer 'lif1' \(Leaky\) cannot be lowered: it has a forward of its own"),
        (own_fire, "it has functions of its own: fire"),
        (own_gradient, "its spike_grad is no step"),
        (own_state, "it has functions of its own: state_function"),
        (changed_reset, "its reset is 'subtract', which it was made with, and 'zero', set since"),
        (loaded_reset, "its reset is 'zero', which it was made with"),
        (compiled, "is compiled"),
        (lambda net: net.double() and net.half(), "is in torch.float16"),
        (lambda net: net.to("meta"), "is on meta"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_changes_behind_a_name_are_refused(change: Callable[[Net], Any], message: str) -> None:
    net = Net()
    change(net)
    with pytest.raises(LoweringError, match=message):
        lowered(net)


def test_training_mode_of_one_layer_is_refused_by_its_name() -> None:
    net = Net().eval()
    net.fc.train()
    with pytest.raises(LoweringError, match="training mode: fc"):
        lower_module(net, input_shape=SHAPE, timesteps=T, labels=None)


class BatchDependent(nn.BatchNorm2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, training=True)


def scripted(x: torch.Tensor) -> torch.Tensor:
    """C++ code, in which no function of torch is called by Python."""
    made: torch.Tensor = torch.jit.script(twice)(x)
    return made


def twice(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (BatchDependent(4), "in training mode, where it depends on the batch"),
        (F.dropout, "drops at random"),
        (lambda x: x - x.mean(0, keepdim=True), "a mean over anything but height and width"),
        (lambda x: x + torch.rand(x.shape), "differs between the images of a batch"),
        (lambda x: x + torch.rand(1), "not the same at each time step"),
        (lambda x: torch.from_numpy(np.tanh(x.numpy())), "operation 'numpy' cannot be carried"),
        (lambda x: torch.tensor(x.tolist()), "operation 'tolist' cannot be carried"),
        (lambda x: x if float(x.sum()) > 0 else -x, "operation '__float__'|a sum over anything but time steps"),
        (lambda x: x.T.T, "operation 'T' cannot be carried"),
        (lambda x: x.data * 2, None),
        (lambda x: torch.add(x, 1, out=torch.empty(0)), "operation 'add'"),
        (lambda x: x.transpose(2, 3), "operation 'transpose' cannot be carried"),
        (lambda x: x.roll(1), "operation 'roll' cannot be carried"),
        (lambda x: x.view(-1, 36, 2, 2), r"it makes \(B, 36, 2, 2\) of \(B, 4, 6, 6\)"),
        (lambda x: x[:, [1, 0, 2, 3]], "it takes a part of an image"),
        (lambda x: x / 0, "divides by zero"),
        (lambda x: x + float("nan"), "not finite"),
        (lambda x: F.interpolate(x, scale_factor=2)[..., :6, :6], "operation 'interpolate' with mode 'nearest' cannot"),
        (lambda x: x.half(), "operation 'half'|converts to"),
        (lambda x: x + undefined, "it raised NameError: name 'undefined' is not defined"),  # type: ignore[name-defined]  # noqa: F821
        (scripted, "is no function of torch that is known"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*x.T")
def test_operations_that_cannot_be_carried_are_refused_by_name(change: Any, message: str | None) -> None:
    net = Net(change)
    if message is None:
        assert measured(net).spikes > 0
        return
    with pytest.raises(LoweringError, match=message) as raised:
        lowered(net)
    assert re.search(r"(test_module_traps|small_nets)\.py:\d+, '", str(raised.value))  # the user's own line


def test_all_problems_of_a_module_are_named_at_once() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pad = nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect")
            self.lif = snntorch.Leaky(0.0)
            self.alpha, self.lap = snntorch.Alpha(0.9, 0.8), snntorch.Lapicque(0.9)
            self.recurrent = snntorch.RLeaky(0.9, all_to_all=False, V=0.5, reset_mechanism="zero")
            self.fc = nn.Linear(256, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            spk, _ = self.lif(F.relu(self.pad(x)), self.lif.reset_mem())
            out, *_ = self.alpha(torch.sigmoid(self.fc(spk.flatten(1))), *self.alpha.reset_mem())
            out, _ = self.lap(out, self.lap.reset_mem())
            out, _ = self.recurrent(out, *self.recurrent.reset_mem())
            if out.sum() > 3:
                out = out + 1
            return out

    with pytest.raises(LoweringError) as raised:
        lowered(Many(), timesteps=1)
    named = ["'pad'", "'relu'", "'subtract'", "'sigmoid'", "(Alpha)", "(Lapicque)", "(RLeaky)", "'gt'", "'__bool__'"]
    assert [word for word in named if word not in str(raised.value)] == []
    assert len(raised.value.problems) == len(named)
    assert raised.value.exit_code == 3


def test_neurons_after_the_end_are_named_too() -> None:
    """Where the tracing cannot go on, the settings of the neurons that it did not reach are looked at."""

    class Fixed(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            spk, _ = self.lif1(self.conv(x), self.lif1.reset_mem())
            return self.lif2(self.fc(spk.view(128, -1)))[0]

    net = Fixed(neuron=partial(snntorch.Leaky, 0.0))
    net.lif2 = snntorch.Leaky(0.9, graded_spikes_factor=0.5)
    with pytest.raises(LoweringError) as raised:
        lowered(net)
    first, second, third = raised.value.problems
    assert "layer 'lif1' (Leaky) cannot be lowered: with beta 0 its reset 'subtract'" in first
    assert "(test_module_traps.py" in first
    assert "operation 'view' fails: shape '[128, -1]' is invalid" in second
    assert "their number must not matter" in second
    assert third.startswith("layer 'lif2' (Leaky) cannot be lowered: inhibition, state_quant and graded spikes")


def test_a_threshold_for_each_neuron_folds_into_the_weights() -> None:
    net = Net(neuron=lambda: leaky(threshold=torch.linspace(0.2, 0.5, 4).reshape(4, 1, 1)))
    assert lowered(net).network.spiking[0].model.threshold == 1
    assert measured(net).output_spikes > 0


class Joined(nn.Module):
    """Spikes of two layers behind each other: as channels, and as vectors with those of a third."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(1, 3, 3, padding=1)
        self.lif1, self.lif2, self.lif3, self.lif4 = (leaky(init_hidden=True) for _ in range(4))
        self.conv, self.fc = nn.Conv2d(5, 3, 3, stride=2, padding=1), nn.Linear(48 + 5 * 64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, two = self.lif1(self.one(x)), self.lif2(self.two(x))
        three = self.lif3(self.conv(torch.cat([one, two], 1)))
        return self.lif4(self.fc(torch.cat([three.flatten(1), one.flatten(1), two.flatten(1)], dim=-1)))


def test_spikes_of_several_layers_behind_each_other() -> None:
    assert [p.name for p in lowered(Joined(), timesteps=T).network.incoming("lif4")] == [
        "lif3->lif4",
        "lif1->lif4",
        "lif2->lif4",
    ]
    assert measured(Joined(), timesteps=T).output_spikes > 0


def test_drives_without_neurons_end_in_an_integrator() -> None:
    class Scores(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mem, total = self.lif1.reset_mem(), torch.zeros(len(x), 5)
            for _ in range(T):
                spk, mem = self.lif1(self.conv(x), mem)
                total += self.fc(spk.flatten(1))
            return total / T

    assert lowered(Scores()).network.readout == "membrane"
    assert measured(Scores()).spikes > 0


# The measurement.


def break_projection(made: Lowered) -> Lowered:
    made.network.projections[0].op.weight.flags.writeable = True
    made.network.projections[0].op.weight[...] *= 1.001
    return made


def test_a_network_that_is_not_the_modules_is_found() -> None:
    net = Net()
    made = break_projection(lowered(net))
    with pytest.raises(VerificationError, match="fire differently: first in layer 'lif1' at step") as raised:
        check_module(net, made, made.network, trial_images(SHAPE))
    assert raised.value.exit_code == 4


def test_what_no_operation_shows_is_found() -> None:
    """A hook that does something else to real images than to those without numbers."""
    net = Net(lambda x: x * (1.0 if type(x) is not torch.Tensor else 1.2))
    made = lowered(net)
    with pytest.raises(VerificationError, match="fire differently"):
        check_module(net, made, made.network, trial_images(SHAPE))


def test_what_is_returned_is_compared_too() -> None:
    net = Net()
    made = lowered(net)
    net.register_forward_hook(lambda _m, _a, out: out.roll(1, dims=2))
    with pytest.raises(VerificationError, match="what the module returns is not"):
        check_module(net, made, made.network, trial_images(SHAPE))


def test_an_image_that_rounding_decides_is_judged_until_there_and_no_further() -> None:
    """Eight times 0.05, each rounded to float32, add up to more than 0.4 in float32, and to less in float64: of 255 the
    first 7 of 12 steps are equal. Eleven times 200/255 of that are more than 0.4 in both: one spike."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), snntorch.Leaky(1.0, 0.4, reset_mechanism="zero", init_hidden=True))
    with torch.no_grad():
        net[0].weight.fill_(0.05)
    made = lowered(net, (1,), 12)
    found = check_module(net, made, made.network, np.array([[255], [200], [0]], np.uint8))
    assert (found.images, found.decided_by_rounding) == (3, 1)
    assert (found.neuron_steps, found.spikes, found.output_spikes) == (7 + 12 + 12, 1, 1)
    assert "on 2 images to the last step; 1 of 3 images stop at a potential that sits on its threshold" in str(found)
    assert "warning: they are more than a quarter of the images" in str(found)
    of_four = check_module(net, made, made.network, np.array([[255], [200], [0], [0]], np.uint8))
    assert "1 of 4 images" in str(of_four)
    assert "warning" not in str(of_four)


def test_a_module_that_fails_says_where() -> None:
    net = Net()
    made = lowered(net)
    net.change = lambda x: x.reshape(7, 7)
    with pytest.raises(InputError, match=r"the module fails on images.*test_module_traps.py") as raised:
        check_module(net, made, made.network, trial_images(SHAPE))
    assert raised.value.exit_code == 3


def test_the_paper_cells_fast_path_is_measured_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Repeat(T), IF(T, threshold=0.1))
    assert measured(net).spikes > 0
    monkeypatch.setattr("kdsnn.models.neurons.integrate_and_fire", lambda drive, *_: torch.zeros_like(drive))
    with pytest.raises(VerificationError, match="fire differently: first in layer '3'"):
        measured(net)
