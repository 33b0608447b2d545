"""Modules that loop over the time steps, or make one: exact, or refused by name."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from kdsnn.errors import InputError, LoweringError
from kdsnn.export.lowering.module_agreement import check_module, trial_images
from tests.export.lowering.small_nets import SHAPE, Net, T, leaky, lowered, measured


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
