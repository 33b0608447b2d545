"""What is asked of lowering beside the module: what it sees of a pixel, how it takes frames, names and labels."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kdsnn.errors import LoweringError, VerificationError
from kdsnn.export.lowering.lower import lower, lower_module, number_format
from kdsnn.export.lowering.module_agreement import check_module, trial_images
from kdsnn.export.lowering.traced import Order
from kdsnn.models.neurons import IF, Repeat
from tests.oracles import simulate_float

T, SHAPE, IMAGES = 5, (2, 6, 5), 7


def net(*, in_time: bool, flat: bool = False) -> nn.Sequential:
    """A padded convolution, or a matrix, and a dense layer behind it; all steps in one batch, `(T * B, ...)`."""
    torch.manual_seed(3)
    first: Any = (nn.Flatten(), nn.Linear(60, 9)) if flat else (nn.Conv2d(2, 3, 3, padding=1),)
    repeat = () if in_time else (Repeat(T),)
    made = nn.Sequential(
        *first, *repeat, IF(T, threshold=0.4), nn.Flatten(), nn.Linear(9 if flat else 90, 4), IF(T, threshold=0.2)
    )
    for layer in made:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.05, 0.3)
    return made.double().eval()


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (0.25, 3.0), (0.5, -0.5)])
def test_a_pixel_is_what_the_module_sees_of_it(value_range: tuple[float, float], flat: bool) -> None:
    """Zero padding is no black pixel where black is not zero."""
    low, high = value_range
    module, images = net(in_time=False, flat=flat), trial_images(SHAPE, IMAGES, seed=1)
    made = lower_module(module, input_shape=SHAPE, timesteps=T, labels=None, value_range=value_range)
    assert made.value_range == value_range
    seen = low + torch.from_numpy(images).double() * ((high - low) / 255)
    with torch.no_grad():
        wanted = module(seen).reshape(T, IMAGES, 4).transpose(0, 1).numpy()
    assert 0 < wanted.mean() < 1
    np.testing.assert_array_equal(simulate_float(made.network, images)[made.network.output.name], wanted)
    found = check_module(module, made, made.network, images)
    assert (found.images, found.output_spikes, found.decided_by_rounding) == (IMAGES, int(wanted.sum()), 0)


@pytest.mark.parametrize("flat", [False, True])
def test_frames_that_lie_in_the_batch(flat: bool) -> None:
    module, images = net(in_time=True, flat=flat), trial_images((T, *SHAPE), IMAGES, seed=2)
    made = lower_module(module, input_shape=SHAPE, timesteps=T, labels=None, in_time=Order.FOLDED)
    assert (made.in_time, made.once_a_step, made.network.static) == (Order.FOLDED, False, False)
    frames = torch.from_numpy(images.swapaxes(0, 1).reshape(T * IMAGES, *SHAPE)).double() / 255
    with torch.no_grad():
        wanted = module(frames).reshape(T, IMAGES, 4).transpose(0, 1).numpy()
    assert 0 < wanted.mean() < 1
    assert (np.diff(wanted, axis=1) != 0).any()
    np.testing.assert_array_equal(simulate_float(made.network, images)[made.network.output.name], wanted)
    assert check_module(module, made, made.network, images).output_spikes == int(wanted.sum())


class Reversed(nn.Module):
    """Sees the frames of a batch from the last to the first once it is shown real ones."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> Any:
        return self.inner(x if type(x) is not torch.Tensor else x.unflatten(0, (T, -1)).flip(0).flatten(0, 1))


def test_frames_in_another_order_are_found() -> None:
    module = Reversed(net(in_time=True)).eval()
    made = lower_module(module, input_shape=SHAPE, timesteps=T, labels=None, in_time=Order.FOLDED)
    with pytest.raises(VerificationError, match=r"first in layer 'inner_1' at step 1"):
        check_module(module, made, made.network, trial_images((T, *SHAPE), IMAGES))


def test_names_and_labels_are_carried_along() -> None:
    said = {"made by": "hand"}
    made = lower(
        net(in_time=False), input_shape=SHAPE, timesteps=T, labels=["a", "b", "c", "d"], name="mine", provenance=said
    )
    assert (made.name, made.labels, made.provenance) == ("mine", ("a", "b", "c", "d"), said)
    assert (made.timesteps, made.integer, made.input_bits) == (T, False, 8)
    plain = lower(net(in_time=False), input_shape=SHAPE, timesteps=None, labels=None)
    assert (plain.name, plain.labels, plain.provenance) == ("network", ("0", "1", "2", "3"), {})
    assert plain.timesteps == T


def test_a_module_computes_in_float64_where_all_of_it_does() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()
    assert number_format(module) is torch.float32
    assert number_format(module.double()) is torch.float64  # its count of batches is a whole number
    module[0].float()
    assert number_format(module) is torch.float32
    assert number_format(nn.Identity().eval()) is torch.float32


def test_all_that_a_module_is_refused_for_is_said() -> None:
    module = nn.Sequential(*(nn.Linear(2, 2) for _ in range(5)))
    module[1].half()
    module[2].to("meta")
    with pytest.raises(LoweringError) as raised:
        number_format(module)
    said = "\n".join(raised.value.problems)
    assert "training mode: the module, 0, 1, 2, 3, ...: call .eval()" in said
    for name, what in (("1.weight", "in torch.float16"), ("1.bias", "in torch.float16"), ("2.bias", "on meta")):
        assert f"{name!r} is {what}" in said
    assert len(raised.value.problems) == 5
