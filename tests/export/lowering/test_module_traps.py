"""What changes a module without changing the names of its layers: exact, refused by name, or found by measurement."""

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
from kdsnn.export.lowering.module_agreement import ModuleAgreement, check_module, trial_images
from kdsnn.models.neurons import IF, Repeat

T = 4
SHAPE = (1, 8, 8)
leaky = partial(snntorch.Leaky, beta=0.9, threshold=0.3, reset_mechanism="zero")


class Net(nn.Module):
    """A convolution and a dense layer in the tutorials' loop; `change` may get in between."""

    def __init__(self, change: Callable[[torch.Tensor], Any] = lambda x: x, neuron: Any = leaky) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.lif1 = nn.Conv2d(1, 4, 3), neuron()
        self.fc, self.lif2 = nn.Linear(4 * 36, 5), leaky()
        self.change = change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spikes = []
        for _ in range(T):
            spk1, mem1 = self.lif1(self.change(self.conv(x)), mem1)
            spk2, mem2 = self.lif2(self.fc(spk1.flatten(1)), mem2)
            spikes.append(spk2)
        return torch.stack(spikes)


def lowered(net: nn.Module, shape: tuple[int, ...] = SHAPE, timesteps: int | None = None) -> Lowered:
    return lower_module(net.eval(), input_shape=shape, timesteps=timesteps, labels=None)


def measured(net: nn.Module, shape: tuple[int, ...] = SHAPE, timesteps: int | None = None) -> ModuleAgreement:
    """The measurement itself is tested below and by the random modules."""
    made = lowered(net, shape, timesteps)
    return check_module(net, made, made.network, trial_images(shape))


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
    net.lif1 = snntorch.Leaky(0.9, reset_mechanism="subtract")
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
        (changed_reset, "its reset is 'subtract', which it was made with, whatever was set since"),
        (loaded_reset, "its reset is 'zero'|its reset is"),
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
    assert "test_module_traps.py" in str(raised.value)  # the user's own line


def test_all_problems_of_a_module_are_named_at_once() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pad = nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect")
            self.lif = snntorch.Leaky(0.9)
            self.alpha, self.lap = snntorch.Alpha(0.9, 0.8), snntorch.Lapicque(0.9)
            self.recurrent = snntorch.RLeaky(0.9, all_to_all=False, V=0.5)
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

    net = Fixed(neuron=partial(snntorch.Leaky, 0.9))
    net.lif2 = snntorch.Leaky(0.9, reset_mechanism="none")
    with pytest.raises(LoweringError) as raised:
        lowered(net)
    first, second, third = raised.value.problems
    assert "layer 'lif1' (Leaky) cannot be lowered: its reset is 'subtract' (test_module_traps.py" in first
    assert "operation 'view' fails: shape '[128, -1]' is invalid" in second
    assert "their number must not matter" in second
    assert third.startswith("layer 'lif2' (Leaky) cannot be lowered: its reset is 'none': make it")


class Tutorial(nn.Module):
    """snnTorch's tutorial 5, with `step` in place of one of its lines."""

    def __init__(self, step: Callable[[Any, torch.Tensor, Any, Any], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1 = nn.Linear(16, 8), leaky()
        self.fc2, self.lif2 = nn.Linear(8, 3), leaky()
        self.step = step

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk2_rec, mem2_rec = [], []
        for step in range(T):
            spk1, mem1, mem2 = self.step(self, x, (mem1, mem2), step)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


def plain(net: Any, x: torch.Tensor, states: Any, step: int) -> Any:
    return *net.lif1(net.fc1(x), states[0]), states[1]


def test_the_tutorials_loop_on_vectors() -> None:
    made = measured(Tutorial(plain), (16,))
    assert (made.images, made.neuron_steps, made.decided_by_rounding) == (32, 32 * T * 11, 0)
    assert made.output_spikes > 10


def first_step_only(net: Any, x: torch.Tensor, states: Any, step: int) -> Any:
    return *net.lif1(net.fc1(x if step == 0 else x * 0.5), states[0]), states[1]


def swapped(net: Any, x: torch.Tensor, states: Any, step: int) -> Any:
    return *net.lif1(net.fc1(x), states[1] if step else states[0]), states[1]


def decayed(net: Any, x: torch.Tensor, states: Any, step: int) -> Any:
    return *net.lif1(net.fc1(x), states[0] * 0.5 if step else states[0]), states[1]


def charged(net: Any, x: torch.Tensor, states: Any, step: int) -> Any:
    return *net.lif1(net.fc1(x), states[0] if step else torch.full((len(x), 8), 0.2)), states[1]


def twice_a_step(net: Any, x: torch.Tensor, states: Any, step: int) -> Any:
    _, mem = net.lif1(net.fc1(x), states[0])
    return *net.lif1(net.fc1(x), mem), states[1]


def heated(net: Any, x: torch.Tensor, states: Any, step: int) -> Any:
    net.lif1.threshold = torch.tensor(0.3 + 0.1 * step)
    return *net.lif1(net.fc1(x), states[0]), states[1]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (first_step_only, "what drives it is not the same at each time step"),
        (swapped, "is not the one that it returned at the step before"),
        (decayed, "the state of 'lif1' enters 'mul'"),
        (charged, "it does not start from rest"),
        (twice_a_step, r"by spikes of step 2|takes 8 time steps"),
        (heated, "its settings are not the same at each time step"),
    ],
)
def test_loops_that_are_no_network_over_time_are_refused(step: Any, message: str) -> None:
    with pytest.raises(LoweringError, match=message):
        lowered(Tutorial(step), (16,))


class LayerByLayer(Net):
    """All steps of the first layer, and then all of the second, in their order or another."""

    def __init__(self, order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, mem2, first, second = self.lif1.reset_mem(), self.lif2.reset_mem(), [], []
        for _ in range(T):
            spk, mem1 = self.lif1(self.conv(x), mem1)
            first.append(spk)
        for spk in first[:: self.order]:
            out, mem2 = self.lif2(self.fc(spk.flatten(1)), mem2)
            second.append(out)
        return torch.stack(second)


def test_all_steps_of_one_layer_before_the_next() -> None:
    assert measured(LayerByLayer(1)).output_spikes > 0
    with pytest.raises(LoweringError, match="at its step 1 it is driven by spikes of step 4"):
        lowered(LayerByLayer(-1))


def test_one_neuron_that_serves_two_layers() -> None:
    """Its state is handed in, so it is two populations."""

    def shared(net: Any, x: torch.Tensor, states: Any, step: int) -> Any:
        net.mem = net.mem if step else torch.zeros(0)
        between, net.mem = net.lif1(net.fc3(x), net.mem)
        return *net.lif1(net.fc1(between), states[0]), states[1]

    net = Tutorial(shared)
    net.fc3 = nn.Linear(16, 16)
    assert [p.name for p in lowered(net, (16,)).network.spiking] == ["lif1", "lif1_2", "lif2"]
    assert measured(net, (16,)).spikes > 0


def sequential(**settings: Any) -> nn.Sequential:
    torch.manual_seed(0)
    hidden = partial(leaky, init_hidden=True)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), hidden(), nn.Dropout(0.4), nn.Linear(8, 3), hidden(**settings))


@pytest.mark.parametrize("settings", [{}, {"output": True}])
def test_a_sequential_that_makes_one_step(settings: dict[str, Any]) -> None:
    net = sequential(**settings)
    made = lowered(net, timesteps=T)
    assert made.once_a_step
    assert made.network.timesteps == T
    assert measured(net, timesteps=T).output_spikes > 0


class Keeps(nn.Module):
    """One step; the state is an attribute of the module's own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.lif, self.mem = nn.Linear(64, 5), leaky(), torch.zeros(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spikes, self.mem = self.lif(self.fc(x.flatten(1)), self.mem)
        return spikes


def test_a_state_that_the_module_keeps() -> None:
    net = Keeps()
    assert measured(net, timesteps=T).output_spikes > 0
    assert net.mem.shape == (0,)


def test_a_list_that_the_module_keeps_is_refused() -> None:
    class Hoards(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hoard.append(super().forward(x))
            return hoard[0] if len(hoard) == 1 else torch.stack(hoard).amax(0)

    hoard: list[torch.Tensor] = []
    net = Hoards()
    made = lowered(net)
    with pytest.raises(InputError, match="it keeps tensors from one call to the next"):
        check_module(net, made, made.network, trial_images(SHAPE))


def test_one_step_that_forgets_its_state_is_refused() -> None:
    """snnTorch's tutorial 6 calls such a module in a loop: each of its steps starts from rest."""

    class Forgets(Keeps):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.mem = self.lif.reset_mem()
            return super().forward(x)

    with pytest.raises(LoweringError, match="it starts from rest at each time step") as raised:
        lowered(Forgets(), timesteps=T)
    assert "loop over the time steps inside of forward" in raised.value.hint


def test_a_module_of_one_step_asks_for_their_number() -> None:
    with pytest.raises(LoweringError, match="it makes one time step") as raised:
        lowered(sequential())
    assert "timesteps" in raised.value.hint


def test_a_loop_of_another_length_is_refused() -> None:
    with pytest.raises(LoweringError, match="it makes 4 time steps, and 7 are asked for"):
        lowered(Net(), timesteps=7)


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


def test_spikes_that_rounding_decides_are_counted_and_shown() -> None:
    """Eight times 0.05, each rounded to float32, add up to more than 0.4 in float32, and to less in float64."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), snntorch.Leaky(1.0, 0.4, reset_mechanism="zero", init_hidden=True))
    with torch.no_grad():
        net[0].weight.fill_(0.05)
    made = lowered(net, (1,), 12)
    found = check_module(net, made, made.network, np.array([[255], [200], [0]], np.uint8))
    assert found.decided_by_rounding == 1
    assert "1 images decided by float rounding" in str(found)


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
